import type { RepairRequest } from "#src/ports/repair.ts";
import type { RoomId, UserId } from "#src/protocol/ids.ts";
import type { CompareDeps, RepairDeps } from "./compare-room.ts";
import type { RequestedRoom } from "./messages.ts";
import { walkUser } from "./walk.ts";

/** Rooms of a request that are listed, and after which its place is saved, at once. */
const PAGE_ROOMS = 100;

/** The next rooms of a request, none when it is through, and the request with the total that is known by now. */
export async function listRooms(
  deps: RepairDeps,
  actors: CompareDeps["actors"],
  request: RepairRequest,
): Promise<{ rooms: readonly RequestedRoom[]; request: RepairRequest }> {
  if (request.kind === "all") {
    const total = request.total === 0 ? await deps.store.countRooms() : request.total;
    return { rooms: await deps.store.roomsAfter(request.cursor, PAGE_ROOMS), request: { ...request, total } };
  }
  const all =
    request.kind === "room" ? [request.target as RoomId] : await roomsOf(deps, actors, request.target as UserId);
  const rooms = all.map((roomId, index) => ({ nid: index + 1, roomId })).filter(({ nid }) => nid > request.cursor);
  return { rooms: rooms.slice(0, PAGE_ROOMS), request: { ...request, total: all.length } };
}

/** All rooms that either we or the homeserver think the user is in. */
async function roomsOf(deps: RepairDeps, actors: CompareDeps["actors"], userId: UserId): Promise<RoomId[]> {
  const ours = await deps.store.joinedRooms(userId);
  const reader = await deps.store.readerFor(userId);
  if (reader === null) return ours;
  const walked = await walkUser({ ...deps, actors }, reader);
  return [...new Set([...ours, ...walked.onlyTheirs])].sort();
}

/** A request while its rooms are being compared, page by page. */
export class RequestProgress {
  request: RepairRequest;
  readonly #open = new Set<number>();
  #pageEnd = 0;

  constructor(request: RepairRequest) {
    this.request = request;
  }

  get isPageDone(): boolean {
    return this.#open.size === 0;
  }

  begin(request: RepairRequest, rooms: readonly RequestedRoom[]): void {
    this.request = request;
    for (const { nid } of rooms) this.#open.add(nid);
    this.#pageEnd = rooms.at(-1)?.nid ?? request.cursor;
  }

  /** One of its rooms is through. */
  roomDone(nid: number, hasFailed: boolean): void {
    if (!this.#open.delete(nid)) return;
    const { done, failed, cursor } = this.request;
    this.request = {
      ...this.request,
      done: done + 1,
      failed: failed + (hasFailed ? 1 : 0),
      cursor: this.isPageDone ? this.#pageEnd : cursor,
    };
  }
}
