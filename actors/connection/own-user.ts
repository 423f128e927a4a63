import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import { userAddress } from "#actors/addresses.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import type { DeviceReader } from "#actors/user/live-device.ts";
import type { UserLink } from "#actors/user/user-link.ts";
import type { ConnectionMessage } from "./messages.ts";

/** The user of a connection, as its actor gave it out; asked for when it is needed, and again when it was lost. */
export class OwnUser {
  readonly #context: ActorContext<ConnectionMessage>;
  readonly #key: readonly [UserId, DeviceId, ConnId];
  #link: UserLink | null = null;
  #isAsked = false;

  constructor(context: ActorContext<ConnectionMessage>, key: readonly [UserId, DeviceId, ConnId]) {
    this.#context = context;
    this.#key = key;
  }

  get link(): UserLink | null {
    return this.#link;
  }

  /** Comes back as `user-ready` or `user-failed`. */
  ask(): void {
    if (this.#isAsked) return;
    this.#isAsked = true;
    const [userId, deviceId] = this.#key;
    this.#context.tell(userAddress(userId), { type: "attach", deviceId, connection: this.#context.self });
  }

  /** It is `link`; null = it failed. */
  answered(link: UserLink | null): void {
    this.#isAsked = false;
    this.#link = link;
  }

  readerOf({ user }: UserLink): DeviceReader {
    const [, deviceId, connId] = this.#key;
    return { device: user.device(deviceId), connId };
  }

  /** What the device shares does not wait for this connection any more. */
  ended(): void {
    if (this.#link === null) return;
    const { device, connId } = this.readerOf(this.#link);
    device.ended(connId, { toDevice: true, deviceLists: true });
  }

  /** The connection's memory goes. */
  leave(): void {
    if (this.#link !== null) {
      const { device, connId } = this.readerOf(this.#link);
      device.fellAsleep(connId);
    }
    this.#context.tell(userAddress(this.#key[0]), { type: "detach", connection: this.#context.self });
  }
}
