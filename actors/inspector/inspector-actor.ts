import { SyncError } from "#src/errors.ts";
import type { UpstreamSummary } from "#src/homeserver/upstream-watch.ts";
import type { Actor, ActorContext, ActorKind, Reply } from "#actors/runtime/actor.ts";
import type { HostRuntime } from "#actors/runtime/host-runtime.ts";
import type { ActorsDescription, ActorsQuery, InspectorMessage, ThreadVitals } from "./messages.ts";

/** What can be found out about a thread from inside. */
export interface ThreadProbe {
  vitals: () => ThreadVitals;
  /** Samples the thread for so long. */
  profileCpu: (seconds: number) => Promise<Uint8Array<ArrayBuffer>>;
  snapshotHeap: () => Uint8Array<ArrayBuffer>;
}

/** What the inspector of a host is made of. */
export interface InspectorDeps {
  runtime: Pick<HostRuntime, "census" | "countStates" | "describe">;
  /** Absent where there is no thread of our own to look into, as in tests. */
  thread?: ThreadProbe | undefined;
  /** Calls of the homeserver that this host makes. */
  upstream?: { summary: () => UpstreamSummary } | undefined;
}

const MAILBOX_LIMIT = 64;
const NO_VITALS: ThreadVitals = {
  heapUsedBytes: 0,
  heapTotalBytes: 0,
  threadCpuMs: 0,
  loopLagMs: { last: 0, max: 0 },
};

/** Tells what goes on in its host, when somebody asks. */
class InspectorActor implements Actor<InspectorMessage> {
  readonly #context: ActorContext<InspectorMessage>;
  readonly #deps: InspectorDeps;
  /** One profile at a time: a second one would only sample the first. */
  #profiling: Reply<Uint8Array<ArrayBuffer>> | null = null;

  constructor(context: ActorContext<InspectorMessage>, deps: InspectorDeps) {
    this.#context = context;
    this.#deps = deps;
  }

  receive(message: InspectorMessage): void {
    switch (message.type) {
      case "describe-host": {
        const vitals = this.#deps.thread?.vitals() ?? NO_VITALS;
        const upstream = this.#deps.upstream?.summary() ?? null;
        message.reply.resolve({ ...vitals, actors: this.#deps.runtime.census(), upstream });
        return;
      }
      case "describe-actors":
        message.reply.resolve(this.#describe(message.query));
        return;
      case "count-actors":
        message.reply.resolve(this.#deps.runtime.countStates(message.kind));
        return;
      case "profile-cpu":
        this.#profile(message.seconds, message.reply);
        return;
      case "snapshot-heap": {
        const bytes = this.#deps.thread?.snapshotHeap() ?? new Uint8Array();
        message.reply.resolve(bytes, [bytes.buffer]);
        return;
      }
      case "profile-made":
        this.#profiling?.resolve(message.bytes, [message.bytes.buffer]);
        this.#profiling = null;
        return;
      case "profile-failed":
        this.#profiling?.reject(
          message.error.code === "limit_exceeded"
            ? message.error
            : new SyncError("internal", `the profiler failed: ${message.error.message}`, { cause: message.error }),
        );
        this.#profiling = null;
    }
  }

  #describe({ kind, after, limit, where }: ActorsQuery): ActorsDescription {
    const wanted = Object.entries(where);
    const items: object[] = [];
    let last = "";
    for (const { key, description } of this.#deps.runtime.describe(kind, after)) {
      const members = description as Readonly<Record<string, unknown>>;
      if (!wanted.every(([name, value]) => String(members[name]) === value)) continue;
      if (items.length >= limit) return { items, next: last };
      items.push(description);
      last = key;
    }
    return { items, next: null };
  }

  #profile(seconds: number, reply: Reply<Uint8Array<ArrayBuffer>>): void {
    const { thread } = this.#deps;
    if (thread === undefined || this.#profiling !== null) {
      reply.reject(new SyncError("limit_exceeded", "a profile of this host is being made: wait for its end"));
      return;
    }
    this.#profiling = reply;
    this.#context.pipe(
      thread.profileCpu(seconds),
      (bytes) => ({ type: "profile-made", bytes }),
      (error) => ({ type: "profile-failed", error }),
    );
  }
}

/** The inspector of one host. */
export function inspectorKind(deps: InspectorDeps): ActorKind<InspectorMessage> {
  return {
    factory: (context) => new InspectorActor(context, deps),
    mailboxLimit: MAILBOX_LIMIT,
    onCrash: "stop",
  };
}
