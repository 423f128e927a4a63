import type { Draft } from "../engine/draft.ts";
import type { Engine } from "../engine/engine-api.ts";
import type { ExtensionsBody } from "../engine/extensions-body.ts";
import type { PositionLog } from "../engine/position-log.ts";
import type { RoomEntry } from "../engine/room-entry.ts";
import type { RoomNid, StreamPos } from "../ids.ts";
import type { Presence } from "../presence.ts";
import type { SyncRequest } from "../request.ts";

/** Ways in which clients speak to us; `v4` is the stable form of the simplified one. */
export type DialectName = "msc3575" | "simplified" | "v4";

/** The query of a request, as far as any dialect reads it. */
export interface SyncQuery {
  pos?: string | undefined;
  timeout?: string | undefined;
}

/** A request as it was read; how long it may wait is checked after its token. */
export interface ReadRequest {
  request: SyncRequest;
  pos: string | null;
  /** How its user is to be seen meanwhile; absent where asking says nothing of that. */
  presence?: Presence;
  timeoutMs: () => number;
}

/** Everything one response says. */
export interface ResponseParts {
  pos: string;
  txnId: string | undefined;
  lists: Draft["lists"];
  /** Rooms that are written already, by `encodeRooms`; those of `rooms` follow. */
  written?: readonly Uint8Array[];
  rooms: readonly RoomEntry[];
  extensions: ExtensionsBody;
}

/** What one dialect does differently where the engine is the same for all. */
export interface Policy {
  /** Unacknowledged responses are sent again as they were, or their requests are answered anew. */
  makeLog(seq: number): PositionLog;
  makeEngine(streamPos: StreamPos, generation: number): Engine;
  /** Parameters are part of what is stored of a connection, for requests that leave them out. */
  areParamsSticky: boolean;
  /** A request waits only with a `pos`. */
  firstWaits: boolean;
  /** A request that a newer one cuts short is answered with what there is, and not as if it had not been sent. */
  answersCutShort: boolean;
  /** Requests without lists and rooms are told all they need by their `pos`: none of them disturbs another. */
  hasLooseRequests: boolean;
  /** True when an extension has something worth an answer. */
  hasExtensionData(body: ExtensionsBody): boolean;
}

/** One way of speaking sliding sync: how requests are read, what they mean where that differs, how responses are written. */
export interface Dialect {
  readonly name: DialectName;
  /** Before the client's `conn_id`, longer than one of MSC3575 may be: connections of different dialects never meet. */
  readonly connScope: string;
  readonly paths: readonly string[];
  /** How its clients know error texts. */
  readonly errorText: "plain" | "with-status";
  /** An empty body and `null` are an empty request, and what follows a first JSON value is passed over. */
  readonly isBodyLoose: boolean;
  /** Throws `SyncError`. */
  parse(json: unknown, query: SyncQuery): ReadRequest;
  readonly policy: Policy;
  /** `roomIdOf` names rooms of lists. */
  encode(response: ResponseParts, roomIdOf: (nid: RoomNid) => string): Uint8Array<ArrayBuffer>;
  encodeRooms(rooms: readonly RoomEntry[]): Uint8Array;
}
