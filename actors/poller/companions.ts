import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { SmallSet } from "#src/small-collections.ts";

/** Which devices of a user are polled on this host, where all of one user are. One for all pollers of the host. */
export class Companions {
  readonly #healthy = new Map<UserId, SmallSet<DeviceId>>();

  /** The poller of this device is through its first sync, and its latest poll went well. */
  isWell(userId: UserId, deviceId: DeviceId): void {
    const devices = this.#healthy.get(userId);
    if (devices === undefined) this.#healthy.set(userId, new SmallSet([deviceId]));
    else devices.add(deviceId);
  }

  /** It fails or has ended: what its user's rooms do is not to be had from it. */
  isUnwell(userId: UserId, deviceId: DeviceId): void {
    const devices = this.#healthy.get(userId);
    if (devices?.delete(deviceId) === true && devices.size === 0) this.#healthy.delete(userId);
  }

  /** All that are polled and well. */
  all(): { userId: UserId; deviceId: DeviceId }[] {
    return [...this.#healthy].flatMap(([userId, devices]) => [...devices].map((deviceId) => ({ userId, deviceId })));
  }

  /** Another device that keeps the user's rooms up to date; null = none does. */
  other(userId: UserId, deviceId: DeviceId): DeviceId | null {
    return [...(this.#healthy.get(userId) ?? [])].find((other) => other !== deviceId) ?? null;
  }

  /** True when another device of the user keeps the user's rooms up to date. */
  cover(userId: UserId, deviceId: DeviceId): boolean {
    const devices = this.#healthy.get(userId);
    return devices !== undefined && devices.size > (devices.has(deviceId) ? 1 : 0);
  }
}
