import type { RoomNid } from "../ids.ts";
import type { World } from "./world.ts";

/**
 * The rooms that a room came from by upgrades, newest first, as long as the user is in them (spec 8.6); never in circles. Of a room one is
 * only invited to, the invite says all there is to know.
 */
export function* oldRooms(world: World, nid: RoomNid): Iterable<RoomNid> {
  const isInside = (room: RoomNid): boolean => world.standing(room)?.membership === "join";
  const seen = new Set<RoomNid>();
  let room: RoomNid | undefined = nid;
  while (room !== undefined && !seen.has(room) && isInside(room)) {
    if (room !== nid) yield room;
    seen.add(room);
    room = world.nidOf(world.meta(room)?.predecessor ?? "");
  }
}
