import type { DeviceId } from "#src/protocol/ids.ts";
import { SmallMap } from "#src/small-collections.ts";

/** A running poller is heard of more often than this, even when it has nothing to say; one that is not died with its host. */
const SILENT_FOR_MS = 6 * 60_000;
/** Users remembered before those that fell silent are looked for. */
const SWEEP_FROM = 1000;

const NO_DEVICES: ReadonlySet<DeviceId> = new Set();

/** Which devices of each user are being polled. */
export class PollingDevices {
  readonly #users = new Map<string, SmallMap<DeviceId, number>>();
  #sweepAt = SWEEP_FROM;

  /** The poller of a device is at work. */
  heard(userId: string, deviceId: string, nowMs: number): void {
    const devices = this.#users.get(userId) ?? new SmallMap<DeviceId, number>();
    devices.set(deviceId as DeviceId, nowMs);
    this.#users.set(userId, devices);
    if (this.#users.size > this.#sweepAt) this.#sweep(nowMs);
  }

  stopped(userId: string, deviceId: string): void {
    const devices = this.#users.get(userId);
    if (devices?.delete(deviceId as DeviceId) === true && devices.size === 0) this.#users.delete(userId);
  }

  of(userId: string, nowMs: number): ReadonlySet<DeviceId> {
    const devices = this.#users.get(userId);
    if (devices === undefined) return NO_DEVICES;
    const polling = new Set<DeviceId>();
    for (const [deviceId, heardMs] of devices) if (nowMs - heardMs < SILENT_FOR_MS) polling.add(deviceId);
    return polling;
  }

  #sweep(nowMs: number): void {
    for (const [userId, devices] of this.#users) {
      for (const [deviceId, heardMs] of devices) if (nowMs - heardMs >= SILENT_FOR_MS) devices.delete(deviceId);
      if (devices.size === 0) this.#users.delete(userId);
    }
    this.#sweepAt = Math.max(SWEEP_FROM, this.#users.size * 2);
  }
}
