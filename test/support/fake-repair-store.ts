import type { RoomId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { UserRoom } from "#src/protocol/room-meta.ts";
import type { RepairProgress, RepairReader, RepairRequest, RepairStore, RepairTarget } from "#src/ports/repair.ts";
import type { FakeDatabase, FakeToken } from "./fake-database.ts";

/** Readers of rooms and what operators ask for, in memory. */
export class FakeRepairStore implements RepairStore {
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
    for (const tell of this.#db.repairWatchers) tell();
    return id;
  }

  async watch(onAsked: () => void): Promise<boolean> {
    await this.#db.reach();
    this.#db.repairWatchers.push(onAsked);
    return true;
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
