import type { ConnectionStore, StoredConnection } from "#src/ports/stores.ts";
import { type FakeDatabase, keyOf } from "./fake-database.ts";

/** Stored connections, in memory. */
export class FakeConnectionStore implements ConnectionStore {
  readonly #db: FakeDatabase;

  constructor(db: FakeDatabase) {
    this.#db = db;
  }

  async load(...key: Parameters<ConnectionStore["load"]>): Promise<StoredConnection | null> {
    await this.#db.reach();
    return this.#db.connections.get(keyOf(...key)) ?? null;
  }

  async save(connection: StoredConnection): Promise<void> {
    await this.#db.reach();
    const key = keyOf(connection.userId, connection.deviceId, connection.connId);
    const before = this.#db.connections.get(key);
    const kept = before?.incarnation === connection.incarnation ? before.cursors : null;
    this.#db.connections.set(key, { ...connection, cursors: connection.cursors ?? kept });
  }

  async delete(...key: Parameters<ConnectionStore["delete"]>): Promise<void> {
    await this.#db.reach();
    this.#db.connections.delete(keyOf(...key));
  }

  async expire(beforeMs: number, perDevice: number): Promise<number> {
    await this.#db.reach();
    const kept = new Map<string, number>();
    const newestFirst = [...this.#db.connections].sort(
      ([, a], [, b]) => b.lastUsedMs - a.lastUsedMs || (a.connId < b.connId ? -1 : 1),
    );
    let gone = 0;
    for (const [key, { userId, deviceId, lastUsedMs }] of newestFirst) {
      const place = (kept.get(keyOf(userId, deviceId)) ?? 0) + 1;
      kept.set(keyOf(userId, deviceId), place);
      if (lastUsedMs >= beforeMs && place <= perDevice) continue;
      this.#db.connections.delete(key);
      gone += 1;
    }
    return gone;
  }
}
