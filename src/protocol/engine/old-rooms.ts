import type { RoomNid } from "../ids.ts";
import { combineConfigs, type RoomConfig } from "../sticky.ts";
import type { World } from "./world.ts";

/**
 * The rooms that a room came from by upgrades, newest first, as long as the user is in them (spec 8.6); never in circles. Of a room one is
 * only invited to, the invite says all there is to know.
 */
function* oldRooms(world: World, nid: RoomNid): Iterable<RoomNid> {
  const isInside = (room: RoomNid): boolean => world.standing(room)?.membership === "join";
  const seen = new Set<RoomNid>();
  let room: RoomNid | undefined = nid;
  while (room !== undefined && !seen.has(room) && isInside(room)) {
    if (room !== nid) yield room;
    seen.add(room);
    room = world.nidOf(world.meta(room)?.predecessor ?? "");
  }
}

/** Old rooms that are wanted beside a room sent whole, and how; `inViewAs` says what else is asked of one that is in view. */
export function* wantedOldRooms(
  world: World,
  nid: RoomNid,
  { includeOldRooms: wanted }: RoomConfig,
  inViewAs: (nid: RoomNid) => RoomConfig | null,
): Iterable<[RoomNid, RoomConfig]> {
  if (wanted === null) return;
  const config: RoomConfig = { ...wanted, includeOldRooms: null };
  for (const old of oldRooms(world, nid)) {
    // One in view loses nothing of what was asked for it there.
    const inView = inViewAs(old);
    yield [old, inView === null ? config : combineConfigs([inView, config])];
  }
}
