import type { ConnectionState, ConnectionView, HostView, Page, PollerState, PollerView } from "#src/admin/api.ts";
import type { DescribedHost, Operator } from "#src/admin/operator.ts";
import { SyncError } from "#src/errors.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import { connectionAddress, inspectorAddress, pollerAddress, SUPERVISOR } from "#actors/addresses.ts";
import type { ConnectionCommand } from "#actors/connection/messages.ts";
import type { PollerCommand } from "#actors/poller/messages.ts";
import type { ActorContext, Address } from "#actors/runtime/actor.ts";
import type { SupervisorCommand } from "#actors/supervisor/messages.ts";
import { type HostId, splitHostId } from "#actors/runtime/placement.ts";
import type { ActorsDescription, ActorsQuery, HostDescription, InspectorCommand } from "./messages.ts";

/** A host that has not answered by then is too busy, or dead: the others are shown. */
const LOOK_DEADLINE_MS = 3000;
const DROP_DEADLINE_MS = 10_000;
/** Beyond its own time a profile has to be put together, and a heap may be large. */
const PROFILE_SLACK_MS = 30_000;
const SNAPSHOT_DEADLINE_MS = 120_000;

/** What the operator's end of the actor system needs. */
export interface OperatorDeps {
  actors: Pick<ActorContext<never>, "ask" | "tell">;
  /** All hosts, main included. */
  hosts: readonly HostId[];
  /** When this process began. */
  startedAtMs: number;
}

type Question<T extends InspectorCommand["type"]> = Omit<Extract<InspectorCommand, { type: T }>, "reply">;

/** Asks hosts and actors what operators want to know, and tells them what operators want done. */
class ActorOperator implements Operator {
  readonly hosts: readonly HostId[];
  readonly #actors: OperatorDeps["actors"];
  readonly #startedAtMs: number;
  #isSnapshotting = false;

  constructor({ actors, hosts, startedAtMs }: OperatorDeps) {
    this.#actors = actors;
    this.hosts = hosts;
    this.#startedAtMs = startedAtMs;
  }

  async describeHosts(): Promise<DescribedHost[]> {
    const [supervised, ...described] = await Promise.all([
      this.#list("main:0", { kind: "supervisor", after: null, limit: 1, where: {} }),
      ...this.hosts.map((host) => this.#describeHost(host)),
    ]);
    const [supervisor] = supervised.items as { hosts: Omit<HostView, "vitals">[] }[];
    return this.hosts.map((host, index) => {
      const known = supervisor?.hosts.find((child) => child.host === host) ?? this.#unsupervised(host);
      const description = described[index] ?? null;
      if (description === null) return { ...known, vitals: null, upstream: null };
      const { upstream, ...vitals } = description;
      return { ...known, vitals, upstream };
    });
  }

  pollers(query: { after: string | null; limit: number; where: Record<string, string> }): Promise<Page<PollerView>> {
    return this.#page<PollerView>("poller", "poller", query);
  }

  connections(query: {
    after: string | null;
    limit: number;
    where: Record<string, string>;
  }): Promise<Page<ConnectionView>> {
    return this.#page<ConnectionView>("connection", "sync", query);
  }

  countPollers(): Promise<Record<PollerState, number>> {
    const none = { loading: 0, queued: 0, polling: 0, storing: 0, waiting: 0, paused: 0, stopped: 0 };
    return this.#count("poller", "poller", none);
  }

  countConnections(): Promise<Record<ConnectionState, number>> {
    return this.#count("connection", "sync", { idle: 0, loading: 0, working: 0, parked: 0 });
  }

  pauseChanged(userId: UserId, deviceId: DeviceId, isPaused: boolean): void {
    const address = pollerAddress(userId, deviceId);
    this.#actors.tell(address, { type: "pause-changed" } satisfies PollerCommand);
    // One that was parked meanwhile has something to do again.
    if (!isPaused) this.#actors.tell(address, { type: "touch" } satisfies PollerCommand);
  }

  async dropConnection(userId: UserId, deviceId: DeviceId, connId: ConnId): Promise<void> {
    const message: Omit<Extract<ConnectionCommand, { type: "drop" }>, "reply"> = { type: "drop" };
    await this.#actors.ask(connectionAddress(userId, deviceId, connId), message, { deadlineMs: DROP_DEADLINE_MS });
  }

  async profileCpu(host: string, seconds: number): Promise<Uint8Array<ArrayBuffer>> {
    const question: Question<"profile-cpu"> = { type: "profile-cpu", seconds };
    return this.#ask(this.#known(host), question, seconds * 1000 + PROFILE_SLACK_MS);
  }

  async snapshotHeap(host: string): Promise<Uint8Array<ArrayBuffer>> {
    const known = this.#known(host);
    // Each takes several times the heap it writes down, and the next one of the same thread would only wait for it.
    if (this.#isSnapshotting) throw new SyncError("limit_exceeded", "a snapshot is being made: wait for its end");
    this.#isSnapshotting = true;
    const begun: SupervisorCommand = { type: "stall-begun", atMostMs: SNAPSHOT_DEADLINE_MS };
    this.#actors.tell(SUPERVISOR, begun);
    try {
      const question: Question<"snapshot-heap"> = { type: "snapshot-heap" };
      return await this.#ask(known, question, SNAPSHOT_DEADLINE_MS);
    } finally {
      this.#isSnapshotting = false;
      this.#actors.tell(SUPERVISOR, { type: "stall-ended" } satisfies SupervisorCommand);
    }
  }

  async #page<T extends { host: string }>(
    kind: Address["kind"],
    role: string,
    { after, limit, where }: { after: string | null; limit: number; where: Record<string, string> },
  ): Promise<Page<T>> {
    const hosts = this.#hostsOf(role);
    const from = readCursor(after);
    const items: T[] = [];
    for (let index = from.index; index < hosts.length; index += 1) {
      const host = hosts[index] ?? "main:0";
      const key = index === from.index ? from.key : null;
      const found = await this.#list(host, { kind, after: key, limit: limit - items.length, where });
      items.push(...found.items.map((item) => ({ host, ...item }) as T));
      if (found.next !== null) return { items, next: writeCursor({ index, key: found.next }) };
      if (items.length >= limit && index + 1 < hosts.length) {
        return { items, next: writeCursor({ index: index + 1, key: null }) };
      }
    }
    return { items, next: null };
  }

  async #count<K extends string>(
    kind: Address["kind"],
    role: string,
    none: Record<K, number>,
  ): Promise<Record<K, number>> {
    const total = { ...none };
    const question: Question<"count-actors"> = { type: "count-actors", kind };
    const counts = await Promise.all(
      this.#hostsOf(role).map((host) =>
        this.#ask<Record<string, number>>(host, question, LOOK_DEADLINE_MS).catch(() => ({})),
      ),
    );
    for (const count of counts)
      for (const [state, n] of Object.entries(count)) if (state in total) total[state as K] += n;
    return total;
  }

  /** Nobody supervises main: it is there when it answers. */
  #unsupervised(host: HostId): Omit<HostView, "vitals"> {
    return {
      host,
      state: "up",
      incarnation: 1,
      restarts: 0,
      upSinceAtMs: splitHostId(host).role === "main" ? this.#startedAtMs : null,
      lastDeath: null,
      lastHeartbeatAtMs: null,
      heartbeatMs: null,
    };
  }

  async #describeHost(host: HostId): Promise<HostDescription | null> {
    const question: Question<"describe-host"> = { type: "describe-host" };
    return this.#ask<HostDescription>(host, question, LOOK_DEADLINE_MS).catch(() => null);
  }

  /** A host that does not answer has nothing to show. */
  #list(host: HostId, query: ActorsQuery): Promise<ActorsDescription> {
    const question: Question<"describe-actors"> = { type: "describe-actors", query };
    return this.#ask<ActorsDescription>(host, question, LOOK_DEADLINE_MS).catch(() => ({ items: [], next: null }));
  }

  #ask<T>(host: HostId, question: { type: string }, deadlineMs: number): Promise<T> {
    return this.#actors.ask<T>(inspectorAddress(host), question, { deadlineMs });
  }

  #hostsOf(role: string): HostId[] {
    return this.hosts.filter((host) => splitHostId(host).role === role);
  }

  #known(host: string): HostId {
    const known = this.hosts.find((id) => id === host);
    if (known === undefined)
      throw new SyncError("invalid_param", `there is no host of this name: ${this.hosts.join(", ")}`);
    return known;
  }
}

interface Cursor {
  index: number;
  /** null = from the host's first on. */
  key: string | null;
}

const writeCursor = (cursor: Cursor): string =>
  Buffer.from(JSON.stringify([cursor.index, cursor.key])).toString("base64url");

function readCursor(text: string | null): Cursor {
  if (text === null) return { index: 0, key: null };
  try {
    const [index, key] = JSON.parse(Buffer.from(text, "base64url").toString()) as unknown[];
    if (Number.isSafeInteger(index) && (key === null || typeof key === "string")) return { index: Number(index), key };
  } catch {
    // Told below.
  }
  throw new SyncError("invalid_param", "after is not one that was given");
}

/** The operator's end of the actor system. */
export const createOperator = (deps: OperatorDeps): Operator => new ActorOperator(deps);
