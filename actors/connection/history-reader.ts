import { SyncError } from "#src/errors.ts";
import type { Clock, Metrics, Timers } from "#src/ports/basics.ts";
import type { OlderEvents, OlderNeed } from "#src/protocol/engine/older-events.ts";
import type { DeviceId, RoomId, RoomNid, UserId } from "#src/protocol/ids.ts";
import { LruCache } from "#src/protocol/lru-cache.ts";
import { unpackEvents } from "#src/protocol/packed.ts";
import { pollerAddress } from "#actors/addresses.ts";
import type { HistoryShelf } from "#actors/directory/history-shelf.ts";
import type { HistoryAnswer, HistoryQuery } from "#actors/poller/messages.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";

/** So long a response waits for the homeserver, for all its rooms together. */
const RESPONSE_MS = 1000;
/** So long the homeserver has: what comes too late for one response is there for the next. */
const READ_MS = 5000;
/** The answer has to come back as well. */
const ASK_MS = READ_MS + 500;
/** Rooms that are read for one response. */
const ROOMS_PER_RESPONSE = 20;
/** Reads of one device at once. */
const AT_ONCE = 4;
/** A homeserver that could not answer is asked nothing for the user for so long, or longer where it says so. */
const QUIET_MS = 10_000;
/** Nor for a room that it does not show the user. */
const REFUSED_MS = 5 * 60_000;
/** Users and rooms of which such is remembered. */
const MAX_QUIET = 2000;

/** Whose token is used. */
export interface HistoryOwner {
  userId: UserId;
  deviceId: DeviceId;
}

export interface HistoryReaderDeps {
  actors: Pick<ActorContext<never>, "ask">;
  clock: Clock;
  timers: Timers;
  metrics: Pick<Metrics, "count" | "observe">;
  shelf: HistoryShelf;
}

/** Reads of rooms' histories by the users of one host, from the homeserver, through their devices' pollers. One for each host. */
export class HistoryReader {
  readonly #deps: HistoryReaderDeps;
  readonly #running = new Map<string, number>();
  /** Until when users, and rooms of users, are left alone. */
  readonly #quietUntilMs = new LruCache<string, number>(MAX_QUIET);

  constructor(deps: HistoryReaderDeps) {
    this.#deps = deps;
  }

  /** For one response; `mayWait`: false when it is to leave at once, with what is at hand. */
  visit(owner: HistoryOwner, mayWait: boolean): HistoryVisit {
    return new HistoryVisit(this, this.#deps, owner, mayWait);
  }

  /** What is at hand. */
  recall({ userId }: HistoryOwner, need: OlderNeed): OlderEvents | null {
    const older = this.#deps.shelf.get(keyOf(userId, need), this.#deps.clock.mono());
    if (older !== null) this.#count("cached");
    return older;
  }

  /** Resolves null when there is nothing to be had; null at once when nobody is to be asked. */
  read(owner: HistoryOwner, need: OlderNeed): Promise<OlderEvents | null> | null {
    const { shelf, clock } = this.#deps;
    const key = keyOf(owner.userId, need);
    const running = shelf.reading(key);
    if (running !== null) return running;
    if (this.#isQuiet(owner.userId) || this.#isQuiet(roomKey(owner.userId, need))) {
      this.#count("skipped");
      return null;
    }
    const device = JSON.stringify([owner.userId, owner.deviceId]);
    const readCount = this.#running.get(device) ?? 0;
    if (readCount >= AT_ONCE) {
      this.#count("skipped");
      return null;
    }
    this.#running.set(device, readCount + 1);
    const reading = this.#ask(owner, need).finally(() => {
      const left = (this.#running.get(device) ?? 1) - 1;
      if (left === 0) this.#running.delete(device);
      else this.#running.set(device, left);
    });
    shelf.begin(key, need.nid, reading, () => clock.mono());
    return reading;
  }

  async #ask(owner: HistoryOwner, need: OlderNeed): Promise<OlderEvents | null> {
    const { actors, clock, metrics } = this.#deps;
    const query: HistoryQuery = {
      roomId: need.roomId as RoomId,
      from: need.from,
      limit: need.limit,
      deadlineMs: READ_MS,
    };
    const startedMs = clock.mono();
    const address = pollerAddress(owner.userId, owner.deviceId);
    const message = { type: "read-history", query };
    try {
      const answer = await actors.ask<HistoryAnswer>(address, message, { deadlineMs: ASK_MS });
      this.#count(answer.kind);
      metrics.observe("history_read_duration_secs", (clock.mono() - startedMs) / 1000);
      if (answer.kind === "read") {
        const { events, prevBatch, hasMore } = answer;
        return { events: unpackEvents(events), prevBatch, hasMore };
      }
      if (answer.kind === "refused") this.#quiet(roomKey(owner.userId, need), REFUSED_MS);
      if (answer.kind === "failed") this.#quiet(owner.userId, Math.max(QUIET_MS, answer.retryAfterMs));
    } catch (error) {
      if (!(error instanceof SyncError)) throw error;
      this.#count("failed");
      this.#quiet(owner.userId, QUIET_MS);
    }
    return null;
  }

  #isQuiet(key: string): boolean {
    return this.#deps.clock.mono() < (this.#quietUntilMs.get(key) ?? 0);
  }

  #quiet(key: string, forMs: number): void {
    const untilMs = this.#deps.clock.mono() + forMs;
    this.#quietUntilMs.set(key, Math.max(untilMs, this.#quietUntilMs.get(key) ?? 0));
  }

  #count(outcome: string): void {
    this.#deps.metrics.count("history_reads_total", 1, { outcome });
  }
}

/** The reads of one response: bounded in number and in time, for all of its pages. */
export class HistoryVisit {
  /** By room. */
  readonly found = new Map<RoomNid, OlderEvents>();
  readonly #reader: HistoryReader;
  readonly #deps: Pick<HistoryReaderDeps, "clock" | "timers" | "metrics">;
  readonly #owner: HistoryOwner;
  readonly #mayWait: boolean;
  #roomsLeft = ROOMS_PER_RESPONSE;
  /** null = it has not had to wait yet. */
  #endsMs: number | null = null;

  constructor(
    reader: HistoryReader,
    deps: Pick<HistoryReaderDeps, "clock" | "timers" | "metrics">,
    owner: HistoryOwner,
    mayWait: boolean,
  ) {
    this.#reader = reader;
    this.#deps = deps;
    this.#owner = owner;
    this.#mayWait = mayWait;
  }

  /** Brings what can be had of these into `found`; null when there is nothing to wait for. Never rejects but for a bug. */
  ensure(needs: readonly OlderNeed[]): Promise<void> | null {
    if (needs.length === 0) return null;
    const missing: OlderNeed[] = [];
    for (const need of needs.slice(0, this.#roomsLeft)) {
      const older = this.#reader.recall(this.#owner, need);
      if (older === null) missing.push(need);
      else this.found.set(need.nid, older);
    }
    this.#roomsLeft -= Math.min(needs.length, this.#roomsLeft);
    if (missing.length === 0 || !this.#mayWait) return null;
    this.#endsMs ??= this.#deps.clock.mono() + RESPONSE_MS;
    const leftMs = this.#endsMs - this.#deps.clock.mono();
    return leftMs <= 0 ? null : this.#within(leftMs, missing);
  }

  async #within(leftMs: number, missing: OlderNeed[]): Promise<void> {
    const { promise: late, resolve } = Promise.withResolvers<"late">();
    const cancel = this.#deps.timers.after(leftMs, () => resolve("late"));
    const readers = Array.from({ length: Math.min(AT_ONCE, missing.length) }, () => this.#readOneByOne(missing));
    const ended = await Promise.race([Promise.all(readers), late]);
    cancel();
    if (ended === "late") this.#deps.metrics.count("history_late_responses_total");
  }

  async #readOneByOne(missing: OlderNeed[]): Promise<void> {
    for (let need = missing.shift(); need !== undefined; need = missing.shift()) {
      if (this.#deps.clock.mono() >= (this.#endsMs ?? 0)) return;
      const older = await this.#reader.read(this.#owner, need);
      if (older !== null) this.found.set(need.nid, older);
    }
  }
}

/** Each user sees a history of their own. */
const keyOf = (userId: UserId, { nid, from, limit }: OlderNeed): string => JSON.stringify([userId, nid, limit, from]);
const roomKey = (userId: UserId, { nid }: OlderNeed): string => JSON.stringify([userId, nid]);
