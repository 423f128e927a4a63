import { SyncError, invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { StoredReceipt } from "#src/protocol/update.ts";
import type { RepairProgress, RepairReader, RepairRequest, RepairStore, RepairTarget } from "#src/ports/repair.ts";
import type { Clock } from "#src/ports/basics.ts";
import type {
  ConnectionStore,
  DeviceRecord,
  DeviceSnapshot,
  DeviceStore,
  IngestStore,
  IngestTransaction,
  RoomReader,
  StateRow,
  StoredConnection,
  TimelineChunk,
  UserSnapshot,
} from "#src/ports/stores.ts";

const HOUR_MS = 3_600_000;
const keyOf = (...parts: readonly (string | number | boolean)[]): string => JSON.stringify(parts);
const byPos = (a: { pos: number }, b: { pos: number }): number => a.pos - b.pos;

interface FakeToken {
  accessToken: string;
  userId: UserId;
  deviceId: DeviceId;
  lastSeenMs: number;
  order: number;
}

interface FakeDevice {
  userId: UserId;
  deviceId: DeviceId;
  since: string | null;
  /** As in the database; absent for null. */
  tokenlessMs?: number;
}

/** What the fakes share, open to tests. */
export class FakeDatabase {
  head: StreamPos = 0;
  readonly epoch: string = "fake-epoch";
  /** While true, every call rejects as when the database is down. */
  isDown = false;
  /** Every transaction that was committed. */
  readonly commits: IngestTransaction[] = [];
  readonly rooms = new Map<RoomNid, RoomMeta>();
  readonly events = new Map<StreamPos, StoredEvent>();
  readonly eventsById = new Map<string, StoredEvent>();
  readonly state = new Map<string, StateRow>();
  readonly userRooms = new Map<string, UserRoom>();
  readonly receipts = new Map<string, StoredReceipt>();
  readonly accountData = new Map<string, IngestTransaction["accountData"][number]>();
  toDevice: IngestTransaction["toDevice"] = [];
  readonly deviceLists = new Map<string, IngestTransaction["deviceLists"][number]>();
  readonly deviceKeys = new Map<string, IngestTransaction["deviceKeys"][number] & { fallbackPos: StreamPos }>();
  readonly txns = new Map<string, IngestTransaction["txns"][number]>();
  readonly quarantine: IngestTransaction["quarantine"] = [];
  readonly devices = new Map<string, FakeDevice>();
  readonly tokens = new Map<string, FakeToken>();
  readonly filters = new Map<string, string>();
  readonly connections = new Map<string, StoredConnection>();
  readonly repairs = new Map<number, RepairRequest & { endedMs: number | null }>();

  /** Gives way once, as a real database would, then fails if it is meant to be down. */
  async reach(): Promise<void> {
    await Promise.resolve();
    if (this.isDown) throw new SyncError("storage_unavailable", "the fake database is down");
  }

  eventOf(row: StateRow): StoredEvent {
    const event = this.eventsById.get(row.eventId);
    invariant(event !== undefined, `the event of state row ${row.type} is stored`);
    return event;
  }
}

class FakeIngestStore implements IngestStore {
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

  async loadSinces(devices: Parameters<IngestStore["loadSinces"]>[0]): ReturnType<IngestStore["loadSinces"]> {
    await this.#db.reach();
    const wanted = new Set(devices.map(({ userId, deviceId }) => keyOf(userId, deviceId)));
    return [...this.#db.devices].flatMap(([key, { userId, deviceId, since }]) =>
      wanted.has(key) && since !== null ? [{ userId, deviceId, since }] : [],
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
    for (const row of tx.state) db.state.set(keyOf(row.nid, row.type, row.stateKey), row);
    for (const { nid, removed } of tx.repairs) {
      for (const { type, stateKey } of removed) db.state.delete(keyOf(nid, type, stateKey));
    }
    for (const row of tx.userRooms) db.userRooms.set(keyOf(row.userId, row.nid), row);
    for (const row of tx.receipts) db.receipts.set(keyOf(row.nid, row.userId, row.threadId, row.isPrivate), row);
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
      db.devices.set(key, Object.assign({}, db.devices.get(key), row));
    }
  }
}

class FakeRoomReader implements RoomReader {
  readonly #db: FakeDatabase;
  readonly #clock: Pick<Clock, "now">;

  constructor(db: FakeDatabase, clock: Pick<Clock, "now">) {
    this.#db = db;
    this.#clock = clock;
  }

  async loadHead(): Promise<StreamPos> {
    await this.#db.reach();
    return this.#db.head;
  }

  async loadUser(userId: UserId, hasRoom: (nid: RoomNid) => boolean): Promise<UserSnapshot> {
    await this.#db.reach();
    const db = this.#db;
    const own = [...db.accountData.values()].filter((row) => row.userId === userId);
    const global = (type: string): Uint8Array | null =>
      own.find((row) => row.roomNid === 0 && row.type === type)?.json ?? null;
    const newerThan = this.#clock.now() - HOUR_MS;
    return {
      head: db.head,
      rooms: [...db.userRooms.values()]
        .filter((standing) => standing.userId === userId)
        .map((standing) => {
          const meta = db.rooms.get(standing.nid);
          invariant(meta !== undefined, "a standing has its room");
          return { standing, meta: hasRoom(standing.nid) ? null : meta };
        }),
      direct: global("m.direct"),
      ignored: global("m.ignored_user_list"),
      tags: own.flatMap(({ roomNid, type, json }) =>
        roomNid !== 0 && type === "m.tag" ? [{ nid: roomNid, json }] : [],
      ),
      txns: [...db.txns.values()]
        .filter((row) => row.userId === userId && row.nowMs > newerThan)
        .map(({ deviceId, eventId, txnId }) => ({ deviceId, eventId, txnId })),
    };
  }

  loadRooms(roomIds: readonly RoomId[]): Promise<RoomMeta[]> {
    return new FakeIngestStore(this.#db).loadRooms(roomIds);
  }

  async loadTimelines(queries: Parameters<RoomReader["loadTimelines"]>[0]): Promise<TimelineChunk[]> {
    await this.#db.reach();
    const byRoom = Map.groupBy(this.#db.events.values(), (event) => event.nid);
    return queries.map(({ nid, upTo, limit }) => {
      const all = (byRoom.get(nid) ?? []).filter((event) => event.inTimeline && event.pos <= upTo).sort(byPos);
      const gap = all.findLastIndex((event) => event.gapBefore);
      const contiguous = gap === -1 ? all : all.slice(gap);
      const events = limit === 0 ? [] : contiguous.slice(-limit);
      return { nid, events, hasMore: contiguous.length > events.length };
    });
  }

  async loadState(queries: Parameters<RoomReader["loadState"]>[0]): Promise<StoredEvent[]> {
    await this.#db.reach();
    const byRoom = Map.groupBy(queries, (query) => query.nid);
    return [...this.#db.state.values()]
      .filter((row) =>
        byRoom
          .get(row.nid)
          ?.some((query) =>
            query.entries.some(
              ([type, key]) => (type === "*" || type === row.type) && (key === "*" || key === row.stateKey),
            ),
          ),
      )
      .sort(byPos)
      .map((row) => this.#db.eventOf(row));
  }

  async loadReceipts(nids: readonly RoomNid[]): Promise<StoredReceipt[]> {
    await this.#db.reach();
    return [...this.#db.receipts.values()].filter(({ nid }) => nids.includes(nid)).sort(byPos);
  }

  async loadAccountData(
    userId: UserId,
    nids: readonly (RoomNid | 0)[],
    after: StreamPos,
  ): ReturnType<RoomReader["loadAccountData"]> {
    await this.#db.reach();
    return [...this.#db.accountData.values()]
      .filter((row) => row.userId === userId && nids.includes(row.roomNid) && row.pos > after)
      .sort(byPos)
      .map(({ type, json, roomNid, pos }) => ({ type, json, roomNid, pos }));
  }

  async loadDevice(userId: UserId, deviceId: DeviceId): Promise<DeviceSnapshot> {
    await this.#db.reach();
    const keys = this.#db.deviceKeys.get(keyOf(userId, deviceId));
    return {
      otkCounts: keys?.otkCounts ?? null,
      fallbackKeyTypes: keys?.fallbackKeyTypes ?? null,
      otkCountsPos: keys?.pos ?? 0,
      fallbackKeyTypesPos: keys?.fallbackPos ?? 0,
      deviceLists: [...this.#db.deviceLists.values()]
        .filter((row) => row.userId === userId && row.deviceId === deviceId)
        .sort(byPos)
        .map(({ target, change, pos }) => ({ target, change, pos })),
      toDevicePos: Math.max(0, ...this.#messages(userId, deviceId).map(({ pos }) => pos)),
      connections: [...this.#db.connections.values()]
        .filter((row) => row.userId === userId && row.deviceId === deviceId)
        .map(({ connId, toDevicePos, deviceListsPos }) => ({ connId, toDevicePos, deviceListsPos })),
    };
  }

  async loadToDevice(
    userId: UserId,
    deviceId: DeviceId,
    after: StreamPos,
    limit: number,
  ): Promise<{ pos: StreamPos; json: Uint8Array }[]> {
    await this.#db.reach();
    return this.#messages(userId, deviceId)
      .filter(({ pos }) => pos > after)
      .sort(byPos)
      .slice(0, limit)
      .map(({ pos, json }) => ({ pos, json }));
  }

  async deleteToDevice(userId: UserId, deviceId: DeviceId, upTo: StreamPos): Promise<void> {
    await this.#db.reach();
    const gone = new Set(this.#messages(userId, deviceId).filter(({ pos }) => pos <= upTo));
    this.#db.toDevice = this.#db.toDevice.filter((row) => !gone.has(row));
  }

  async deleteDeviceLists(userId: UserId, deviceId: DeviceId, upTo: StreamPos): Promise<void> {
    await this.#db.reach();
    for (const [key, row] of this.#db.deviceLists) {
      if (row.userId === userId && row.deviceId === deviceId && row.pos <= upTo) this.#db.deviceLists.delete(key);
    }
  }

  #messages(userId: UserId, deviceId: DeviceId): IngestTransaction["toDevice"] {
    return this.#db.toDevice.filter((row) => row.userId === userId && row.deviceId === deviceId);
  }
}

class FakeConnectionStore implements ConnectionStore {
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

class FakeRepairStore implements RepairStore {
  readonly #db: FakeDatabase;

  constructor(db: FakeDatabase) {
    this.#db = db;
  }

  async readersOf(roomId: RoomId, limit: number): Promise<RepairReader[]> {
    await this.#db.reach();
    const nid = [...this.#db.rooms.values()].find((meta) => meta.roomId === roomId)?.nid;
    const joined = new Set(this.#joined().flatMap((row) => (row.nid === nid ? [row.userId] : [])));
    return this.#readers((token) => joined.has(token.userId)).slice(0, limit);
  }

  async readerFor(userId: UserId): Promise<RepairReader | null> {
    await this.#db.reach();
    return this.#readers((token) => token.userId === userId)[0] ?? null;
  }

  async nextUser(userId: string, sinceMs: number): Promise<RepairReader | null> {
    await this.#db.reach();
    const readers = this.#readers((token) => token.userId > userId && token.lastSeenMs >= sinceMs);
    return readers.sort((a, b) => (a.userId < b.userId ? -1 : 1))[0] ?? null;
  }

  async countUsers(sinceMs: number): Promise<number> {
    await this.#db.reach();
    return this.#readers((token) => token.lastSeenMs >= sinceMs).length;
  }

  async joinedRooms(userId: UserId): Promise<RoomId[]> {
    await this.#db.reach();
    return this.#joined().flatMap((row) => (row.userId === userId ? (this.#db.rooms.get(row.nid)?.roomId ?? []) : []));
  }

  async roomsAfter(after: number, limit: number): Promise<{ nid: RoomNid; roomId: RoomId }[]> {
    await this.#db.reach();
    const nids = new Set(this.#joined().map(({ nid }) => nid));
    const rooms = [...this.#db.rooms.values()].filter(({ nid }) => nid > after && nids.has(nid));
    return rooms
      .sort((a, b) => a.nid - b.nid)
      .slice(0, limit)
      .map(({ nid, roomId }) => ({ nid, roomId }));
  }

  async countRooms(): Promise<number> {
    await this.#db.reach();
    return new Set(this.#joined().map(({ nid }) => nid)).size;
  }

  async ask(target: RepairTarget): Promise<number> {
    await this.#db.reach();
    const id = this.#db.repairs.size + 1;
    this.#db.repairs.set(id, { id, ...target, total: 0, done: 0, failed: 0, cursor: 0, endedMs: null });
    return id;
  }

  async progress(id: number): Promise<RepairProgress | null> {
    await this.#db.reach();
    const found = this.#db.repairs.get(id);
    if (found === undefined) return null;
    return { total: found.total, done: found.done, failed: found.failed, isEnded: found.endedMs !== null };
  }

  async nextRequest(): Promise<RepairRequest | null> {
    await this.#db.reach();
    const found = [...this.#db.repairs.values()].find(({ endedMs }) => endedMs === null);
    if (found === undefined) return null;
    const { endedMs: _, ...request } = found;
    return request;
  }

  async saveRequest(request: RepairRequest, endedMs: number | null): Promise<void> {
    await this.#db.reach();
    this.#db.repairs.set(request.id, { ...request, endedMs });
  }

  #joined(): UserRoom[] {
    return [...this.#db.userRooms.values()].filter(({ membership }) => membership === "join");
  }

  /** The device used last of each user that has a token that `matches`. */
  #readers(matches: (token: FakeToken) => boolean): RepairReader[] {
    const readers = new Map<UserId, RepairReader>();
    for (const token of [...this.#db.tokens.values()].filter(matches).sort((a, b) => b.lastSeenMs - a.lastSeenMs)) {
      const { userId, deviceId } = token;
      if (!readers.has(userId)) readers.set(userId, { userId, deviceId });
    }
    return [...readers.values()];
  }
}

class FakeDeviceStore implements DeviceStore {
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
    this.#db.devices.set(key, { userId, deviceId, since: this.#db.devices.get(key)?.since ?? null });
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
      accessToken: newest?.[1].accessToken ?? null,
      tokenHash: newest?.[0] ?? null,
      lastSeenMs: newest?.[1].lastSeenMs ?? 0,
    };
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

/** The stores in memory, over one `FakeDatabase`. */
export interface FakeStores {
  db: FakeDatabase;
  ingest: IngestStore;
  rooms: RoomReader;
  connections: ConnectionStore;
  devices: DeviceStore;
  repair: RepairStore;
}

/** Makes stores that keep everything in memory; they pass the contract suite of the real ones. */
export function makeFakeStores(clock: Pick<Clock, "now"> = { now: () => 0 }): FakeStores {
  const db = new FakeDatabase();
  return {
    db,
    ingest: new FakeIngestStore(db),
    rooms: new FakeRoomReader(db, clock),
    connections: new FakeConnectionStore(db),
    devices: new FakeDeviceStore(db),
    repair: new FakeRepairStore(db),
  };
}
