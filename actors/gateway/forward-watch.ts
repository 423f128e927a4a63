import { SyncError } from "#src/errors.ts";
import { LruCache } from "#src/protocol/lru-cache.ts";
import type { Clock, Logger, Metrics, Timers } from "#src/ports/basics.ts";
import type { ForwardedEffect, ForwardObserver } from "#src/ports/front.ts";
import type { Identity } from "#src/ports/gateway.ts";
import type { DeviceStore } from "#src/ports/stores.ts";
import type { DeviceId, RoomId, UserId } from "#src/protocol/ids.ts";
import { packPollBatch } from "#src/protocol/packed.ts";
import { newBatch } from "#src/protocol/poll-batch.ts";
import { INGEST, pollerAddress } from "#actors/addresses.ts";
import type { IngestCommand } from "#actors/ingest/messages.ts";
import type { PollerCommand } from "#actors/poller/messages.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import type { GatewayMessage } from "./messages.ts";
import type { TokenIdentifier } from "./token-identifier.ts";

/** A device's poller is hurried no more often than this: a client that reads a whole room sends a receipt for each step. */
const EARLY_POLL_EVERY_MS = 200;
/** Devices whose last early poll is remembered. */
const DEVICES = 10_000;
/** What nobody else will tell of is tried again, first after this and then less and less often, for some ten minutes. */
const RETRY_MS = 1000;
const LONGEST_RETRY_MS = 120_000;
const TRIES = 12;
/** So many wait to be tried again; a homeserver that is busy while storage is away for long may make more. */
const WAITING = 1000;
/** Ingest answers when a batch is committed and applied. */
const STORE_DEADLINE_MS = 60_000;
/** Not of any device: ingest must not take it for the word of one of the user's pollers. */
const NO_DEVICE = "" as DeviceId;

/** What watching needs of the outside. */
export interface ForwardWatchDeps {
  identifier: Pick<TokenIdentifier, "recognise" | "tokensOf">;
  devices: Pick<DeviceStore, "removeToken">;
  actors: Pick<ActorContext<never>, "ask" | "tell">;
  /** A token is dead: requests that wait with it are ended. */
  expire: (message: GatewayMessage) => void;
  clock: Clock;
  timers: Timers;
  log: Logger;
  metrics: Metrics;
}

type PollerMessage = Extract<PollerCommand, { type: "poll-now" | "token-unused" }>;
type StoreBatch = Omit<Extract<IngestCommand, { type: "store-batch" }>, "reply">;

/** Has pollers look at once when the homeserver did something for their device that they would hear of late. */
export class ForwardWatch implements ForwardObserver {
  readonly #deps: ForwardWatchDeps;
  /** Effects to be tried again. */
  #waiting = 0;
  /** By device: when its poller was last hurried, and whether it is to be once more. */
  readonly #hurried = new LruCache<string, { atMs: number; isAgain: boolean }>(DEVICES);

  constructor(deps: ForwardWatchDeps) {
    this.#deps = deps;
  }

  forwarded(accessToken: string, effect: ForwardedEffect): void {
    this.#try(accessToken, effect, 1);
  }

  #try(accessToken: string, effect: ForwardedEffect, attempt: number): void {
    this.#follow(accessToken, effect).catch((error: unknown) => {
      const fields = { effect: effect.type, reason: error instanceof SyncError ? error.code : String(error) };
      // News come with the next poll all the same.
      const isNews = effect.type === "news";
      const isLost = !isNews && (attempt >= TRIES || this.#waiting >= WAITING);
      if (isLost) this.#deps.log.warn(fields, "what a forwarded request changed is not learned");
      else {
        const level = isNews || attempt > 1 ? "debug" : "warn";
        this.#deps.log[level](fields, "what a forwarded request changed is learned later");
      }
      if (isLost || isNews) return;
      this.#waiting += 1;
      this.#deps.timers.after(Math.min(RETRY_MS * 2 ** (attempt - 1), LONGEST_RETRY_MS), () => {
        this.#waiting -= 1;
        this.#try(accessToken, effect, attempt + 1);
      });
    });
  }

  async #follow(accessToken: string, effect: ForwardedEffect): Promise<void> {
    const identity = await this.#deps.identifier.recognise(accessToken);
    if (identity === null) {
      this.#count("unknown");
      return;
    }
    switch (effect.type) {
      case "news":
        this.#hurry(identity);
        return;
      case "forgot-room":
        this.#hurry(identity);
        await this.#forgetRoom(identity.userId, effect.roomId);
        return;
      case "logged-out":
        await this.#logOut(identity);
        return;
      case "logged-out-everywhere": {
        const all = new Map(this.#deps.identifier.tokensOf(identity.userId).map((other) => [other.tokenHash, other]));
        all.set(identity.tokenHash, identity);
        // Those that are not in memory are refused by their next poll.
        await Promise.all([...all.values()].map((other) => this.#logOut(other)));
      }
    }
  }

  /** At once, or, when that was a moment ago, as soon as it may be again; never twice for the same moment. */
  #hurry(identity: Identity): void {
    const { clock, timers } = this.#deps;
    const key = `${identity.userId}\0${identity.deviceId}`;
    const last = this.#hurried.get(key);
    const leftMs = last === undefined ? 0 : last.atMs + EARLY_POLL_EVERY_MS - clock.mono();
    if (last === undefined || leftMs <= 0) {
      this.#hurried.set(key, { atMs: clock.mono(), isAgain: false });
      this.#count("told");
      this.#tell(identity, { type: "poll-now" });
      return;
    }
    this.#count("merged");
    if (last.isAgain) return;
    last.isAgain = true;
    timers.after(leftMs, () => {
      this.#hurried.delete(key);
      this.#hurry(identity);
    });
  }

  /** The homeserver will not mention the room again: what is forgotten is told as a poll would. */
  async #forgetRoom(userId: UserId, roomId: RoomId): Promise<void> {
    const packed = packPollBatch(newBatch(userId, NO_DEVICE, { rooms: [{ kind: "forgotten", roomId }] }));
    const message: StoreBatch = { type: "store-batch", packed };
    await this.#deps.actors.ask(INGEST, message, { deadlineMs: STORE_DEADLINE_MS, transfer: [packed.bytes.buffer] });
  }

  async #logOut(identity: Identity): Promise<void> {
    const { userId, deviceId, tokenHash } = identity;
    this.#deps.expire({ type: "token-expired", userId, deviceId, tokenHash });
    this.#tell(identity, { type: "token-unused", tokenHash });
    await this.#deps.devices.removeToken(tokenHash);
  }

  #tell({ userId, deviceId }: Identity, message: PollerMessage): void {
    this.#deps.actors.tell(pollerAddress(userId, deviceId), message);
  }

  #count(outcome: string): void {
    this.#deps.metrics.count("front_early_polls_total", 1, { outcome });
  }
}
