import { SyncError } from "#src/errors.ts";
import type { Logger, Timers } from "#src/ports/basics.ts";
import { linkPeer, wrapHost } from "#actors/runtime/comlink.ts";
import type { HostApi, HostInit } from "#actors/runtime/host-api.ts";
import type { HostHandle, HostSpawner } from "#actors/runtime/host-handle.ts";
import type { HostRuntime } from "#actors/runtime/host-runtime.ts";
import { type HostId, splitHostId } from "#actors/runtime/placement.ts";
import type { HostControl } from "./supervisor-actor.ts";

export interface FleetDeps {
  runtime: HostRuntime;
  spawner: HostSpawner;
  initOf: (host: HostId, incarnation: number) => HostInit;
  logger: Logger;
  timers: Timers;
  /** A host's life ended and nothing of it runs any more. */
  onDied: (host: HostId, incarnation: number, reason: string) => void;
  onUnkillable: (host: HostId) => void;
}

/** One host as main sees it. */
interface Member {
  readonly incarnation: number;
  readonly handle: HostHandle;
  readonly api: HostApi;
  /** Rejects when the host dies; never resolves. */
  readonly death: Promise<never>;
  readonly die: (reason: string) => void;
  /** It has closed in order: its end needs no force. */
  isClosed: boolean;
  isDead: boolean;
  /** Resolves when nothing of it runs any more, or it turned out that it cannot be ended. */
  readonly gone: Promise<void>;
}

export type PeerChange = "up" | "down";
export type PeerListener = (host: HostId, change: PeerChange) => void;

/** From spawning to composed. */
const START_LIMIT_MS = 120_000;
/** Of a host, its first life in this process. */
const FIRST = 1;
/** Of the ingest host's first life, which brings the database to this executable's schema: a statement of it has six hours. */
const PREPARE_LIMIT_MS = 24 * 3_600_000;
/** Whoever asks what a start is busy with asks again soon. */
const BUSY_LIMIT_MS = 2000;
/** Wiring is two posts; only a hung host takes longer. */
const CALL_LIMIT_MS = 30_000;

/** Main's end of every host: spawns, wires each pair directly, notices deaths, and cuts the dead out. */
export class Fleet implements HostControl {
  readonly #deps: FleetDeps;
  readonly #members = new Map<HostId, Member>();
  readonly #listeners = new Set<PeerListener>();
  /** Spawning and wiring go one at a time. */
  #last: Promise<unknown> = Promise.resolve();
  #lastLine = 0;
  /** The host that is being started. */
  #starting: HostId | null = null;

  constructor(deps: FleetDeps) {
    this.#deps = deps;
  }

  isUp(host: HostId): boolean {
    return this.#members.get(host)?.isDead === false;
  }

  /** Calls `listener` when a host is ready to be asked (`up`) and when it is dead (`down`). */
  onChange(listener: PeerListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** Resolves true as soon as the host can be asked, false at the deadline. */
  async whenUp(host: HostId, deadlineMs: number): Promise<boolean> {
    if (this.#deps.runtime.hasPeer(host)) return true;
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const stop = this.onChange((changed, change) => {
      if (changed === host && change === "up") resolve(true);
    });
    const cancel = this.#deps.timers.after(deadlineMs, () => resolve(false));
    try {
      return await promise;
    } finally {
      stop();
      cancel();
    }
  }

  /** What the host that is being started is busy with; null when it does not say, or when none is. */
  async busyWith(): Promise<string | null> {
    const host = this.#starting;
    if (host === null || !this.isUp(host)) return null;
    return this.#call(host, BUSY_LIMIT_MS, async (api) => (await api.ping()).busyWith).catch(() => null);
  }

  launch(host: HostId, incarnation: number): Promise<void> {
    const launched = this.#last.then(() => this.#launch(host, incarnation));
    this.#last = launched.catch(() => {});
    return launched;
  }

  async beginAll(): Promise<void> {
    for (const host of this.#members.keys()) await this.begin(host);
  }

  async begin(host: HostId): Promise<void> {
    try {
      await this.#call(host, CALL_LIMIT_MS, (api) => api.begin());
    } catch (error) {
      // Its successor must not find it alive.
      this.kill(host, "it could not begin");
      throw error;
    }
    this.#changed(host, "up");
  }

  async ping(host: HostId): Promise<unknown> {
    const member = this.#alive(host);
    return Promise.race([member.api.ping(), member.death]);
  }

  kill(host: HostId, reason: string): void {
    this.#members.get(host)?.die(reason);
  }

  /** Lets the actors of a host finish and stop. */
  drain(host: HostId, limitMs: number): Promise<void> {
    // Requests that were taken in last may wait here for others: they are to be answered, not refused.
    this.#deps.runtime.flush(host);
    return this.#call(host, limitMs + DRAIN_MARGIN_MS, (api) => api.drain(limitMs));
  }

  /** Closes what a host holds and ends it. */
  async close(host: HostId, limitMs: number): Promise<void> {
    const member = this.#alive(host);
    try {
      await this.#call(host, limitMs, (api) => api.close());
      member.isClosed = true;
    } finally {
      member.die("shutdown");
    }
    await member.gone;
  }

  /** Whatever the telemetry of each living host collects; one that does not answer in time is left out. */
  async collectMetrics(limitMs: number): Promise<Map<HostId, unknown>> {
    const hosts = [...this.#members.keys()];
    const collected = await Promise.allSettled(hosts.map((host) => this.#call(host, limitMs, (api) => api.metrics())));
    const found = new Map<HostId, unknown>();
    for (const [i, outcome] of collected.entries()) {
      const host = hosts[i];
      if (host !== undefined && outcome.status === "fulfilled") found.set(host, outcome.value);
    }
    return found;
  }

  async #launch(host: HostId, incarnation: number): Promise<void> {
    const { role, index } = splitHostId(host);
    const handle = await this.#deps.spawner.spawn(role, index);
    const member = this.#admit(host, incarnation, handle);
    const limitMs = role === "ingest" && incarnation === FIRST ? PREPARE_LIMIT_MS : START_LIMIT_MS;
    this.#starting = host;
    try {
      await this.#call(host, limitMs, (api) => api.start(this.#deps.initOf(host, incarnation)));
      await this.#wire(host, member);
    } catch (error) {
      member.die("it could not be started");
      await member.gone;
      throw error;
    } finally {
      this.#starting = null;
    }
  }

  #admit(host: HostId, incarnation: number, handle: HostHandle): Member {
    const { promise: death, reject } = Promise.withResolvers<never>();
    // A host nobody is waiting for may die too.
    death.catch(() => {});
    const gone = Promise.withResolvers<void>();
    const member: Member = {
      incarnation,
      handle,
      api: wrapHost(handle.wire),
      death,
      die: (reason) => {
        if (member.isDead) return;
        member.isDead = true;
        reject(new SyncError("actor_stopped", `host ${host} died: ${reason}`));
        void this.#bury(host, member, reason).then(gone.resolve);
      },
      isClosed: false,
      isDead: false,
      gone: gone.promise,
    };
    this.#members.set(host, member);
    handle.onDeath(member.die);
    return member;
  }

  /** Main speaks over the Worker's own port, every other pair over a channel of its own. */
  async #wire(host: HostId, member: Member): Promise<void> {
    const { runtime } = this.#deps;
    linkPeer(runtime, host, member.handle.wire);
    for (const [peer, other] of this.#members) {
      if (peer === host || other.isDead || !areNeighbours(host, peer)) continue;
      const [own, its] = member.handle.thread === other.handle.thread ? this.#line() : channel();
      await this.#call(host, CALL_LIMIT_MS, (api) => own(api, peer));
      // The peer's own death is no failure of this launch.
      await this.#call(peer, CALL_LIMIT_MS, (api) => its(api, host)).catch((error: unknown) => {
        this.#blame(peer, error, "host could not be wired");
      });
    }
  }

  /** A way between two hosts of one thread. */
  #line(): [Connect, Connect] {
    const line = ++this.#lastLine;
    const join: Connect = (api, peer) => api.join(peer, line);
    return [join, join];
  }

  async #bury(host: HostId, member: Member, reason: string): Promise<void> {
    const { runtime, onDied, onUnkillable } = this.#deps;
    if (this.#members.get(host) === member) {
      this.#members.delete(host);
      runtime.detach(host);
      for (const [peer, other] of this.#members) {
        if (!other.isDead && areNeighbours(host, peer)) this.#cutOut(peer, host);
      }
      this.#changed(host, "down");
    }
    // A host that lived on beside its successor would be a second writer.
    const isGone = await (member.isClosed ? member.handle.release() : member.handle.terminate());
    if (isGone) onDied(host, member.incarnation, reason);
    else onUnkillable(host);
  }

  #cutOut(peer: HostId, dead: HostId): void {
    this.#call(peer, CALL_LIMIT_MS, (api) => api.disconnect(dead)).catch((error: unknown) => {
      this.#blame(peer, error, "host could not be told of a death");
    });
  }

  /** That a host died meanwhile is reported by itself. */
  #blame(host: HostId, error: unknown, what: string): void {
    if (error instanceof SyncError && error.code === "actor_stopped") return;
    this.#deps.logger.warn({ actor_host: host, error: String(error) }, what);
  }

  #alive(host: HostId): Member {
    const member = this.#members.get(host);
    if (member === undefined) throw new SyncError("actor_stopped", `host ${host} is down`);
    return member;
  }

  async #call<T>(host: HostId, limitMs: number, call: (api: HostApi) => Promise<T>): Promise<T> {
    const member = this.#alive(host);
    const { promise: limit, reject } = Promise.withResolvers<never>();
    const cancel = this.#deps.timers.after(limitMs, () => {
      reject(new SyncError("ask_timeout", `host ${host} did not answer within ${limitMs} ms`));
    });
    try {
      return await Promise.race([call(member.api), member.death, limit]);
    } finally {
      cancel();
    }
  }

  #changed(host: HostId, change: PeerChange): void {
    for (const listener of this.#listeners) listener(host, change);
  }
}

/** Gives a host its end of the way to a peer. */
type Connect = (api: HostApi, peer: HostId) => Promise<void>;

/** A way between two hosts of different threads. */
function channel(): [Connect, Connect] {
  const { port1, port2 } = new MessageChannel();
  return [(api, peer) => api.connect(peer, port1), (api, peer) => api.connect(peer, port2)];
}

/** A drain ends by itself at its limit; the answer still has to come back. */
const DRAIN_MARGIN_MS = 200;

/** The store host speaks SQL over its socket, not envelopes. */
const areNeighbours = (a: HostId, b: HostId): boolean => !a.startsWith("store:") && !b.startsWith("store:");
