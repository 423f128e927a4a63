import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { DeviceRecord, DeviceStore } from "#src/ports/stores.ts";
import { type FakeDatabase, keyOf } from "./fake-database.ts";

/** Tokens, devices and filters, in memory. */
export class FakeDeviceStore implements DeviceStore {
  readonly #db: FakeDatabase;
  #nextOrder = 1;

  constructor(db: FakeDatabase) {
    this.#db = db;
  }

  async findToken(tokenHash: string): ReturnType<DeviceStore["findToken"]> {
    await this.#db.reach();
    const token = this.#db.tokens.get(tokenHash);
    if (token === undefined) return null;
    const { userId, deviceId, lastSeenMs, order } = token;
    const isNewest = ![...this.#db.tokens.values()].some(
      (other) => other.userId === userId && other.deviceId === deviceId && other.order > order,
    );
    return { userId, deviceId, lastSeenMs, isNewest };
  }

  async saveToken(token: Parameters<DeviceStore["saveToken"]>[0]): Promise<void> {
    await this.#db.reach();
    const { hash, accessToken, userId, deviceId, nowMs } = token;
    this.#db.tokens.set(hash, { accessToken, userId, deviceId, lastSeenMs: nowMs, order: this.#nextOrder++ });
    const key = keyOf(userId, deviceId);
    const { tokenlessMs: _, ...before } = this.#db.devices.get(key) ?? { since: null, pausedMs: null };
    this.#db.devices.set(key, { ...before, userId, deviceId });
  }

  async touchToken(tokenHash: string, nowMs: number): Promise<void> {
    await this.#db.reach();
    const token = this.#db.tokens.get(tokenHash);
    if (token !== undefined) token.lastSeenMs = Math.max(token.lastSeenMs, nowMs);
  }

  async removeToken(tokenHash: string): Promise<void> {
    await this.#db.reach();
    this.#db.tokens.delete(tokenHash);
  }

  async loadDevice(userId: UserId, deviceId: DeviceId): Promise<DeviceRecord | null> {
    await this.#db.reach();
    const device = this.#db.devices.get(keyOf(userId, deviceId));
    if (device === undefined) return null;
    const newest = [...this.#db.tokens]
      .filter(([, token]) => token.userId === userId && token.deviceId === deviceId)
      .sort(([, a], [, b]) => b.order - a.order)[0];
    return {
      userId,
      deviceId,
      since: device.since,
      roomsAreDue: device.roomsAreDue === true,
      accessToken: newest?.[1].accessToken ?? null,
      tokenHash: newest?.[0] ?? null,
      lastSeenMs: newest?.[1].lastSeenMs ?? 0,
      pausedMs: device.pausedMs ?? null,
    };
  }

  async setPaused(userId: UserId, deviceId: DeviceId, pausedMs: number | null): Promise<boolean> {
    await this.#db.reach();
    const device = this.#db.devices.get(keyOf(userId, deviceId));
    if (device !== undefined) device.pausedMs = pausedMs;
    return device !== undefined;
  }

  async listDevices(sinceMs: number): ReturnType<DeviceStore["listDevices"]> {
    await this.#db.reach();
    const seen = new Map<string, { userId: UserId; deviceId: DeviceId; lastSeenMs: number }>();
    for (const { userId, deviceId, lastSeenMs } of this.#db.tokens.values()) {
      const key = keyOf(userId, deviceId);
      const before = seen.get(key);
      if (lastSeenMs >= Math.max(sinceMs, before?.lastSeenMs ?? 0)) seen.set(key, { userId, deviceId, lastSeenMs });
    }
    return [...seen.values()].sort((a, b) => b.lastSeenMs - a.lastSeenMs);
  }

  async findFilter(userId: UserId, filterHash: string): Promise<string | null> {
    await this.#db.reach();
    return this.#db.filters.get(keyOf(userId, filterHash)) ?? null;
  }

  async saveFilter(userId: UserId, filterHash: string, filterId: string): Promise<void> {
    await this.#db.reach();
    this.#db.filters.set(keyOf(userId, filterHash), filterId);
  }

  async expireTokens(beforeMs: number): ReturnType<DeviceStore["expireTokens"]> {
    await this.#db.reach();
    const old = [...this.#db.tokens].filter(([, { lastSeenMs }]) => lastSeenMs < beforeMs);
    for (const [hash] of old) this.#db.tokens.delete(hash);
    return old.map(([tokenHash, { userId, deviceId }]) => ({ tokenHash, userId, deviceId }));
  }

  async expireDevices(beforeMs: number, nowMs: number): Promise<number> {
    await this.#db.reach();
    const db = this.#db;
    const withToken = new Set(Array.from(db.tokens.values(), ({ userId, deviceId }) => keyOf(userId, deviceId)));
    const tokenless = [...db.devices].filter(([key]) => !withToken.has(key));
    for (const [, device] of tokenless) device.tokenlessMs ??= nowMs;
    const due = tokenless.filter(([, { tokenlessMs = 0 }]) => tokenlessMs > 0 && tokenlessMs < beforeMs);
    const isGone = new Set(due.map(([key]) => key));
    db.toDevice = db.toDevice.filter(({ userId, deviceId }) => !isGone.has(keyOf(userId, deviceId)));
    for (const [key, { userId, deviceId }] of db.deviceLists) {
      if (isGone.has(keyOf(userId, deviceId))) db.deviceLists.delete(key);
    }
    for (const [key, device] of due) {
      db.deviceKeys.delete(key);
      device.tokenlessMs = 0;
    }
    return due.length;
  }

  async expireTxns(beforeMs: number): Promise<number> {
    await this.#db.reach();
    const old = [...this.#db.txns].filter(([, { nowMs }]) => nowMs < beforeMs);
    for (const [key] of old) this.#db.txns.delete(key);
    return old.length;
  }
}
