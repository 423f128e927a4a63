import { invariant } from "#src/errors.ts";
import type { DeviceId, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { Presence } from "#src/protocol/presence.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import { isFullyHeld, longPollMs } from "./decide.ts";
import type { PollerMessage } from "./messages.ts";
import type { PollPart } from "./poll-part.ts";
import type { PollWork } from "./poll-work.ts";
import { PollFilters } from "./poll-filters.ts";
import { Poll } from "./poll.ts";
import type { PolledDevice } from "./polled-device.ts";
import type { PollerDeps } from "./poller-deps.ts";
import { SeenAs } from "./seen-as.ts";
import { SpinWatch } from "./spin-watch.ts";

/** The polls of one device: the one at hand, and how the next one is made. */
export class Polling {
  readonly filters = new PollFilters();
  readonly #context: ActorContext<PollerMessage>;
  readonly #deps: Pick<PollerDeps, "config" | "homeserver" | "stats">;
  readonly #who: { readonly userId: UserId; readonly deviceId: DeviceId };
  readonly #seenAs = new SeenAs();
  readonly #spins = new SpinWatch();
  #current: Poll | null = null;
  #begun = 0;
  /** No poll of this incarnation has been stored yet. */
  #isFirst = true;
  /** The last poll was held for all of its time. */
  #wasQuiet = false;
  /** The next poll asks the homeserver not to hold it. */
  #isHurried = false;

  constructor(
    context: ActorContext<PollerMessage>,
    deps: Pick<PollerDeps, "config" | "homeserver" | "stats">,
    who: { readonly userId: UserId; readonly deviceId: DeviceId },
  ) {
    this.#context = context;
    this.#deps = deps;
    this.#who = who;
  }

  /** From its request until its data is stored. */
  get current(): Poll | null {
    return this.#current;
  }

  /** Polls begun in this incarnation. */
  get begun(): number {
    return this.#begun;
  }

  /** The poll at hand names a filter that the homeserver keeps. */
  get namesFilter(): boolean {
    return this.filters.hasId && this.#current?.plan.isInitial === false;
  }

  /** The next poll is not to be held. True when the one at hand makes room for it. */
  hurry(): boolean {
    this.#isHurried = true;
    // A poll that is not held may have been answered before what is to be fetched: it is followed by another one.
    return this.#current?.plan.timeoutMs !== 0;
  }

  /** How a connection wants its user to be seen, for a while. True when the poll at hand shows otherwise. */
  beSeen(connection: string, presence: Presence, forMs: number): boolean {
    const nowMs = this.#context.clock.mono();
    this.#seenAs.wish(connection, presence, nowMs + forMs);
    return this.#current !== null && this.#current.plan.presence !== this.#seenAs.at(nowMs);
  }

  /** Begins a poll, whose answer comes as the end of step `stepId`. Tells how long the homeserver may hold it. */
  send(stepId: number, device: PolledDevice, isCovered: boolean): number {
    const { config, homeserver, stats } = this.#deps;
    this.#begun++;
    const part = device.nextPart(isCovered);
    const since = part === "rooms" ? null : device.since;
    const startedAtMs = this.#context.clock.mono();
    const isHeld = !this.#isFirst && !this.#isHurried && part === "all";
    const timeoutMs = isHeld ? longPollMs(startedAtMs, this.#wasQuiet) : 0;
    this.#isHurried = false;
    this.#current?.end("superseded");
    const presence = this.#seenAs.at(startedAtMs);
    const plan = { ...this.#who, timeoutMs, presence, isInitial: since === null, part, startedAtMs };
    this.#current = new Poll(plan, stats);
    this.#current.send(this.#context, homeserver, stepId, {
      accessToken: device.tokenForPoll(),
      since,
      filter: this.filters.choose({ since: device.since, part }),
      configuredMs: this.#isFirst || part === "rooms" ? config.firstPollDeadlineMs : config.pollDeadlineMs,
    });
    return timeoutMs;
  }

  /** All that the poll at hand brought is stored, the last of it when the stream stood at `pos`, if it had to be. What it was for. */
  stored(work: PollWork, device: PolledDevice, pos: StreamPos | null): PollPart {
    invariant(this.#current !== null, "what is stored is of a poll");
    const { isInitial, startedAtMs, timeoutMs, part } = this.#current.plan;
    const nowMs = this.#context.clock.mono();
    this.#wasQuiet = isFullyHeld(timeoutMs, nowMs - startedAtMs);
    this.#deps.stats.pollStored(nowMs - work.receivedAtMs, isInitial, this.#isFirst);
    if (!device.hasSynced || part === "rooms") {
      const { roomCount, byteCount, batchCount } = work;
      this.#context.log.info({ rooms: roomCount, bytes: byteCount, batches: batchCount }, "first sync stored");
    }
    const hasAdvanced = device.advance(work.nextBatch, part, pos);
    this.#spins.stored({ timeoutMs, tookMs: nowMs - startedAtMs, hasAdvanced, hash: () => work.bodyHash });
    this.#isFirst = false;
    this.end(null);
    return part;
  }

  /** How long the homeserver is left in peace before the next poll. */
  get pauseMs(): number {
    return this.#spins.delayMs;
  }

  /** Ends the poll at hand, if there is one; why, or null when it went well. */
  end(error: string | null): void {
    this.#current?.end(error);
    this.#current = null;
  }
}
