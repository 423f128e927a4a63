import type { SyncError } from "#src/errors.ts";
import type { UpstreamSummary } from "#src/homeserver/upstream-watch.ts";
import type { Address, Asked } from "#actors/runtime/actor.ts";
import type { KindCensus } from "#actors/runtime/host-runtime.ts";

/** How a host is: of its thread, and of its actors. */
export interface HostDescription extends ThreadVitals {
  actors: KindCensus[];
  /** null where the homeserver is not called. */
  upstream: UpstreamSummary | null;
}

/** How a thread is; hosts that share one say the same. */
export interface ThreadVitals {
  heapUsedBytes: number;
  heapTotalBytes: number;
  threadCpuMs: number;
  /** How late a timer went off that was due: the last one, and the latest of the last minute. */
  loopLagMs: { last: number; max: number };
}

/** Which actors are asked for. */
export interface ActorsQuery {
  kind: Address["kind"];
  /** Behind this key, which may be ""; null = from the first on. */
  after: string | null;
  limit: number;
  /** Only those whose description has these members with these values. */
  where: Readonly<Record<string, string>>;
}

/** Some actors, in the order of their keys. */
export interface ActorsDescription {
  items: object[];
  /** The last of them, or null when there are no more behind. */
  next: string | null;
}

/** What operators ask of a host. */
export type InspectorCommand =
  | Asked<{ type: "describe-host" }, HostDescription>
  | Asked<{ type: "describe-actors"; query: ActorsQuery }, ActorsDescription>
  /** How many actors of a kind there are in each state. */
  | Asked<{ type: "count-actors"; kind: Address["kind"] }, Record<string, number>>
  /** The bytes of a profile that browsers' developer tools open; the whole thread is sampled. */
  | Asked<{ type: "profile-cpu"; seconds: number }, Uint8Array<ArrayBuffer>>
  /** The bytes of a heap snapshot of the thread, which stands still meanwhile. */
  | Asked<{ type: "snapshot-heap" }, Uint8Array<ArrayBuffer>>;

/** What comes back to it. */
export type InspectorEvent =
  | { type: "profile-made"; bytes: Uint8Array<ArrayBuffer> }
  | { type: "profile-failed"; error: SyncError };

export type InspectorMessage = InspectorCommand | InspectorEvent;
