import { invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta } from "#src/protocol/room-meta.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { StoredReceipt } from "#src/protocol/update.ts";
import type { Clock } from "#src/ports/basics.ts";
import type { DeviceSnapshot, IngestTransaction, RoomReader, TimelineChunk, UserSnapshot } from "#src/ports/stores.ts";
import { type FakeDatabase, keyOf, byPos, loadFakeTimelines } from "./fake-database.ts";
import { FakeIngestStore } from "./fake-ingest-store.ts";

const HOUR_MS = 3_600_000;

/** What sync hosts read, in memory. */
export class FakeRoomReader implements RoomReader {
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
    const global = (type: string) => own.find((row) => row.roomNid === 0 && row.type === type);
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
      direct: global("m.direct")?.json ?? null,
      directPos: global("m.direct")?.pos ?? 0,
      ignored: global("m.ignored_user_list")?.json ?? null,
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

  loadTimelines(queries: Parameters<RoomReader["loadTimelines"]>[0]): Promise<TimelineChunk[]> {
    return loadFakeTimelines(this.#db, queries);
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

  async loadStateSince(queries: Parameters<RoomReader["loadStateSince"]>[0]): Promise<StoredEvent[]> {
    await this.#db.reach();
    return [...this.#db.state.values()]
      .filter((row) => queries.some(({ nid, since }) => nid === row.nid && row.pos > since))
      .sort(byPos)
      .map((row) => Object.assign({}, this.#db.eventOf(row), { pos: row.pos }));
  }

  async loadReceipts(nids: readonly RoomNid[]): Promise<StoredReceipt[]> {
    await this.#db.reach();
    return [...this.#db.receipts.values()].filter(({ nid }) => nids.includes(nid)).sort(byPos);
  }

  async loadSticky(nids: readonly RoomNid[], afterMs: number): Promise<StickyEvent[]> {
    await this.#db.reach();
    return [...this.#db.sticky.values()]
      .filter(({ nid, expiresMs }) => nids.includes(nid) && expiresMs > afterMs)
      .sort(byPos);
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
      deviceListsFrom: this.#db.deviceListsFrom.get(keyOf(userId, deviceId)) ?? 0,
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

  async deleteDeviceLists(userId: UserId, deviceId: DeviceId, upTo: StreamPos, isForgotten: boolean): Promise<void> {
    await this.#db.reach();
    const from = this.#db.deviceListsFrom.get(keyOf(userId, deviceId));
    if (isForgotten || from !== undefined)
      this.#db.deviceListsFrom.set(keyOf(userId, deviceId), Math.max(from ?? 0, upTo));
    for (const [key, row] of this.#db.deviceLists) {
      if (row.userId === userId && row.deviceId === deviceId && row.pos <= upTo) this.#db.deviceLists.delete(key);
    }
  }

  #messages(userId: UserId, deviceId: DeviceId): IngestTransaction["toDevice"] {
    return this.#db.toDevice.filter((row) => row.userId === userId && row.deviceId === deviceId);
  }
}
