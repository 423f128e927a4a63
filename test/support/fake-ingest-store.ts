import { invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { EventId, RoomId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { IngestStore, IngestTransaction, StateRow } from "#src/ports/stores.ts";
import { type FakeDatabase, keyOf, byPos, loadFakeTimelines } from "./fake-database.ts";

/** What ingest reads and commits, in memory. */
export class FakeIngestStore implements IngestStore {
  readonly #db: FakeDatabase;

  constructor(db: FakeDatabase) {
    this.#db = db;
  }

  async loadHead(): ReturnType<IngestStore["loadHead"]> {
    await this.#db.reach();
    return { head: this.#db.head, maxRoomNid: Math.max(0, ...this.#db.rooms.keys()), epoch: this.#db.epoch };
  }

  async loadRooms(roomIds: readonly RoomId[]): Promise<RoomMeta[]> {
    await this.#db.reach();
    const wanted = new Set(roomIds);
    return [...this.#db.rooms.values()].filter((meta) => wanted.has(meta.roomId));
  }

  async knownEvents(eventIds: readonly EventId[]): Promise<Set<EventId>> {
    await this.#db.reach();
    return new Set(eventIds.filter((id) => this.#db.eventsById.has(id)));
  }

  async loadEvents(eventIds: readonly EventId[]): Promise<StoredEvent[]> {
    await this.#db.reach();
    return eventIds.flatMap((id) => this.#db.eventsById.get(id) ?? []);
  }

  async loadState(keys: Parameters<IngestStore["loadState"]>[0]): Promise<StateRow[]> {
    await this.#db.reach();
    const wanted = new Set(keys.map(({ nid, type, stateKey }) => keyOf(nid, type, stateKey)));
    return [...this.#db.state].filter(([key]) => wanted.has(key)).map(([, row]) => row);
  }

  async loadRoomState(nid: RoomNid): Promise<StateRow[]> {
    await this.#db.reach();
    return [...this.#db.state.values()].filter((row) => row.nid === nid);
  }

  async loadHeroEvents(nids: readonly RoomNid[], limit: number): Promise<StoredEvent[]> {
    await this.#db.reach();
    const rows = [...this.#db.state.values()].sort(byPos);
    return [...new Set(nids)].flatMap((nid) =>
      rows
        .filter((row) => row.nid === nid && (row.membership === "join" || row.membership === "invite"))
        .slice(0, limit)
        .map((row) => this.#db.eventOf(row)),
    );
  }

  async loadUserRooms(keys: Parameters<IngestStore["loadUserRooms"]>[0]): Promise<UserRoom[]> {
    await this.#db.reach();
    const wanted = new Set(keys.map(({ userId, nid }) => keyOf(userId, nid)));
    return [...this.#db.userRooms].filter(([key]) => wanted.has(key)).map(([, row]) => row);
  }

  async knownUsers(userIds: readonly string[]): Promise<Set<UserId>> {
    await this.#db.reach();
    const wanted = new Set(userIds);
    return new Set([...this.#db.devices.values()].map(({ userId }) => userId).filter((userId) => wanted.has(userId)));
  }

  loadTimelines(queries: Parameters<IngestStore["loadTimelines"]>[0]): ReturnType<IngestStore["loadTimelines"]> {
    return loadFakeTimelines(this.#db, queries);
  }

  async loadStays(queries: Parameters<IngestStore["loadStays"]>[0]): Promise<UserRoom[]> {
    await this.#db.reach();
    return [...this.#db.userRooms.values()].filter(({ nid, membership, joinPos }) =>
      queries.some((query) => query.nid === nid && membership === "join" && joinPos >= query.from),
    );
  }

  async loadStickyIds(nids: readonly RoomNid[], afterMs: number): ReturnType<IngestStore["loadStickyIds"]> {
    await this.#db.reach();
    return [...this.#db.sticky.values()]
      .filter(({ nid, expiresMs }) => nids.includes(nid) && expiresMs > afterMs)
      .map(({ nid, id, sender, expiresMs, json }) => ({ nid, id, sender, expiresMs, sizeBytes: json.length }));
  }

  async loadSinces(devices: Parameters<IngestStore["loadSinces"]>[0]): ReturnType<IngestStore["loadSinces"]> {
    await this.#db.reach();
    const wanted = new Set(devices.map(({ userId, deviceId }) => keyOf(userId, deviceId)));
    return [...this.#db.devices].flatMap(([key, { userId, deviceId, since, pos = -1 }]) =>
      wanted.has(key) && since !== null ? [{ userId, deviceId, since, pos }] : [],
    );
  }

  async commit(tx: IngestTransaction): Promise<void> {
    await this.#db.reach();
    const db = this.#db;
    if (db.commits.includes(tx)) return;
    invariant(tx.head >= db.head, "the stream head moves forward only");
    db.commits.push(tx);
    db.head = tx.head;
    for (const { meta } of tx.rooms) db.rooms.set(meta.nid, meta);
    for (const event of tx.events) {
      const stored = { ...event, txnId: null };
      db.events.set(event.pos, stored);
      db.eventsById.set(event.id, stored);
    }
    for (const event of tx.redacted) {
      const stored = db.events.get(event.pos);
      invariant(stored?.id === event.id, "a redacted event is stored");
      const redacted = { ...stored, json: event.json };
      db.events.set(event.pos, redacted);
      db.eventsById.set(event.id, redacted);
    }
    for (const event of tx.moved) {
      invariant(db.events.get(event.pos)?.id === event.id, "an event that moves is stored");
      db.events.delete(event.pos);
    }
    for (const row of tx.state) db.state.set(keyOf(row.nid, row.type, row.stateKey), row);
    for (const { nid, removed } of tx.repairs) {
      for (const { type, stateKey } of removed) db.state.delete(keyOf(nid, type, stateKey));
    }
    for (const row of tx.userRooms) db.userRooms.set(keyOf(row.userId, row.nid), row);
    for (const row of tx.receipts) db.receipts.set(keyOf(row.nid, row.userId, row.threadId, row.isPrivate), row);
    for (const row of tx.sticky) db.sticky.set(keyOf(row.nid, row.id), { ...row, json: row.json.slice() });
    for (const row of tx.accountData) db.accountData.set(keyOf(row.userId, row.roomNid, row.type), row);
    db.toDevice.push(...tx.toDevice);
    for (const row of tx.deviceLists) db.deviceLists.set(keyOf(row.userId, row.deviceId, row.target), row);
    for (const row of tx.deviceKeys) {
      const key = keyOf(row.userId, row.deviceId);
      const before = db.deviceKeys.get(key);
      db.deviceKeys.set(key, {
        ...row,
        otkCounts: row.otkCounts ?? before?.otkCounts ?? null,
        pos: row.otkCounts === null && before !== undefined ? before.pos : row.pos,
        fallbackPos: row.fallbackKeyTypes === null && before !== undefined ? before.fallbackPos : row.pos,
        fallbackKeyTypes: row.fallbackKeyTypes ?? before?.fallbackKeyTypes ?? null,
      });
    }
    for (const row of tx.txns) db.txns.set(keyOf(row.userId, row.deviceId, row.eventId), row);
    db.quarantine.push(...tx.quarantine);
    for (const row of tx.sinces) {
      const key = keyOf(row.userId, row.deviceId);
      db.devices.set(key, Object.assign({}, db.devices.get(key), { roomsAreDue: false }, row));
    }
  }
}
