import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { pollerAddress } from "#actors/addresses.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import type { Companions } from "./companions.ts";
import type { PollerCommand, PollerMessage } from "./messages.ts";

/** For the poll of another device that is under way, and the one after it: the homeserver may hold both. */
const COMPANION_DEADLINE_MS = 90_000;
/** What is on its way to another device arrives within this; what that has is nearly all, and clients wait no longer for the rest. */
const COMPANION_PATIENCE_MS = 250;

/** What the devices of a user do for each other: one brings the rooms, so that the others need not. */
export class Cover {
  readonly #context: ActorContext<PollerMessage>;
  readonly #companions: Companions;
  readonly #who: { readonly userId: UserId; readonly deviceId: DeviceId };
  /** The other device that was to bring the rooms did not. */
  #isLeftAlone = false;
  #hasBegun = false;
  #isPatienceOver = false;
  /** A poll of the other device was asked for. */
  #isAwaited = false;

  constructor(
    context: ActorContext<PollerMessage>,
    companions: Companions,
    who: { readonly userId: UserId; readonly deviceId: DeviceId },
  ) {
    this.#context = context;
    this.#companions = companions;
    this.#who = who;
  }

  /** This device is through its first sync and its latest poll went well: others may rely on it. */
  isWell(): void {
    this.#companions.isWell(this.#who.userId, this.#who.deviceId);
  }

  /** What the user's rooms do is not to be had from this device. */
  isUnwell(): void {
    this.#companions.isUnwell(this.#who.userId, this.#who.deviceId);
  }

  /** The other device; null = there is none to rely on. */
  get by(): DeviceId | null {
    return this.#isLeftAlone ? null : this.#companions.other(this.#who.userId, this.#who.deviceId);
  }

  /** Clients are answered with what the other device has brought so far. */
  get isEnough(): boolean {
    return this.#isPatienceOver && !this.#isLeftAlone;
  }

  /** Clients begin to wait for the other device. */
  begin(): void {
    if (this.#hasBegun) return;
    this.#hasBegun = true;
    this.#context.after(COMPANION_PATIENCE_MS, { type: "patience-over" });
  }

  patienceOver(): void {
    this.#isPatienceOver = true;
  }

  /**
   * What happened before this device's `since` comes by the other device's polls alone: the next one brings it, in its own time. Should
   * that fail, this device reads the rooms itself; meanwhile it polls on.
   */
  await(other: DeviceId): void {
    if (this.#isAwaited) return;
    this.#isAwaited = true;
    this.begin();
    const through: Omit<Extract<PollerCommand, { type: "poll-through" }>, "reply"> = {
      type: "poll-through",
      isPatient: true,
    };
    const ended = (isThrough: boolean) => ({ type: "companion-polled", isThrough }) as const;
    this.#context.pipe(
      this.#context.ask(pollerAddress(this.#who.userId, other), through, { deadlineMs: COMPANION_DEADLINE_MS }),
      () => ended(true),
      () => ended(false),
    );
  }

  /** The other device is through with that poll, or will not be. */
  ended(isThrough: boolean): void {
    this.#isAwaited = false;
    this.#isLeftAlone = !isThrough;
  }
}
