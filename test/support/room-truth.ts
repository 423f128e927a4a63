import type { FrontRig } from "./front-rig.ts";
import type { WireEvent } from "./naive-client.ts";

/** What a scripted homeserver answers when it is asked for the state of rooms and the rooms of users. */
export class RoomTruth {
  /** By room; a room without an entry is refused. */
  readonly states = new Map<string, WireEvent[]>();
  /** By user; a user without an entry is in no room. */
  readonly joined = new Map<string, string[]>();
  /** Requests for state so far, as `user room`. */
  readonly asked: string[] = [];
  /** In place of the next answers. */
  readonly instead: Response[] = [];

  constructor(rig: FrontRig) {
    rig.revealRooms();
    rig.node.homeserver.onRequest(({ pathname, userId }) => {
      const room = /\/rooms\/([^/]+)\/state$/.exec(pathname)?.[1];
      const isList = pathname.endsWith("/joined_rooms");
      if (room === undefined && !isList) return undefined;
      const roomId = decodeURIComponent(room ?? "");
      if (!isList) this.asked.push(`${userId} ${roomId}`);
      const instead = this.instead.shift();
      if (instead !== undefined) return instead;
      if (isList) return Response.json({ joined_rooms: this.joined.get(userId ?? "") ?? [] });
      const state = this.states.get(roomId);
      return state === undefined
        ? Response.json({ errcode: "M_FORBIDDEN", error: "not in the room" }, { status: 403 })
        : Response.json(state);
    });
  }
}
