import type { Account } from "../accounts.ts";
import { createRoom, readCreateRoom } from "../create-room.ts";
import type { Route, RouteContext } from "../router.ts";
import { transactionOf } from "../rooms.ts";
import type { ServerParts } from "../server-parts.ts";
import { asJson, asNumber, asString, forbidden, type Json, notFound } from "../wire.ts";

type Action = (roomId: string, userId: string, target: string, reason: string | undefined) => void;

function membershipRoutes(parts: ServerParts): Route[] {
  const { memberships, rooms } = parts;
  const onRoom = (path: string, act: Action): Route => ({
    method: "POST",
    path,
    handle: async (context) => {
      const { account } = context.session();
      const body = await context.json();
      const roomId = rooms.resolve(context.param("roomId"));
      act(roomId, account.userId, asString(body["user_id"]) ?? "", asString(body["reason"]));
      return { room_id: roomId };
    },
  });
  return [
    onRoom("/join/:roomId", (roomId, userId, _, reason) => memberships.join(roomId, userId, { reason })),
    onRoom("/rooms/:roomId/join", (roomId, userId, _, reason) => memberships.join(roomId, userId, { reason })),
    onRoom("/knock/:roomId", (roomId, userId, _, reason) => memberships.knock(roomId, userId, { reason })),
    onRoom("/rooms/:roomId/leave", (roomId, userId, _, reason) => memberships.leave(roomId, userId, { reason })),
    onRoom("/rooms/:roomId/invite", (roomId, userId, target, reason) =>
      memberships.invite(roomId, userId, target, { reason }),
    ),
    onRoom("/rooms/:roomId/kick", (roomId, userId, target, reason) =>
      memberships.kick(roomId, userId, target, { reason }),
    ),
    onRoom("/rooms/:roomId/ban", (roomId, userId, target, reason) =>
      memberships.ban(roomId, userId, target, { reason }),
    ),
    onRoom("/rooms/:roomId/unban", (roomId, userId, target, reason) =>
      memberships.unban(roomId, userId, target, { reason }),
    ),
    {
      method: "POST",
      path: "/rooms/:roomId/forget",
      handle: (context) => {
        memberships.forget(context.param("roomId"), context.session().account);
        return {};
      },
    },
    {
      method: "GET",
      path: "/joined_rooms",
      handle: (context) => ({
        joined_rooms: [...rooms.joinedRooms(context.session().account)].map(({ room }) => room.roomId),
      }),
    },
  ];
}

function setState(parts: ServerParts, context: RouteContext, content: Json, stateKey: string): Json {
  const { account } = context.session();
  const roomId = context.param("roomId");
  const type = context.param("type");
  const sender = account.userId;
  if (type === "m.room.member") {
    const reason = asString(content["reason"]);
    const membership = asString(content["membership"]);
    if (membership === "invite") parts.memberships.invite(roomId, sender, stateKey, { reason });
    else if (membership === "ban") parts.memberships.ban(roomId, sender, stateKey, { reason });
    else if (membership === "join" && stateKey === sender) parts.memberships.join(roomId, sender, { reason });
    else if (membership === "leave" && stateKey === sender) parts.memberships.leave(roomId, sender, { reason });
    else if (membership === "leave") parts.memberships.kick(roomId, sender, stateKey, { reason });
    else throw forbidden("Not a membership change one may make");
    return { event_id: parts.rooms.get(roomId).room.member(stateKey)?.event.event_id ?? "" };
  }
  return { event_id: parts.rooms.setState(roomId, { sender, type, stateKey, content }).event.event_id };
}

function sendRoutes(parts: ServerParts): Route[] {
  const { rooms } = parts;
  const putState = async (context: RouteContext, stateKey: string): Promise<Json> =>
    setState(parts, context, await context.json(), stateKey);
  return [
    {
      method: "POST",
      path: "/createRoom",
      handle: async (context) => {
        const body = await context.json();
        const entry = createRoom({ world: parts, ...parts }, context.session().account, readCreateRoom(body));
        return { room_id: entry.room.roomId };
      },
    },
    {
      method: "PUT",
      path: "/rooms/:roomId/send/:type/:txnId",
      handle: (context) =>
        context.once((session, content) => {
          const stored = rooms.send(context.param("roomId"), {
            sender: session.account.userId,
            type: context.param("type"),
            content,
            txn: transactionOf(session, context.param("txnId")),
          });
          return { event_id: stored.event.event_id };
        }),
    },
    {
      method: "PUT",
      path: "/rooms/:roomId/redact/:eventId/:txnId",
      handle: (context) =>
        context.once((session, body) => {
          const reason = asString(body["reason"]);
          const stored = rooms.redact(context.param("roomId"), context.param("eventId"), {
            sender: session.account.userId,
            txn: transactionOf(session, context.param("txnId")),
            ...(reason === undefined ? {} : { reason }),
          });
          return { event_id: stored.event.event_id };
        }),
    },
    { method: "PUT", path: "/rooms/:roomId/state/:type", handle: (context) => putState(context, "") },
    {
      method: "PUT",
      path: "/rooms/:roomId/state/:type/:stateKey",
      handle: (context) => putState(context, context.param("stateKey")),
    },
    {
      method: "PUT",
      path: "/rooms/:roomId/typing/:userId",
      handle: async (context) => {
        const { userId } = context.session().account;
        if (context.param("userId") !== userId) throw forbidden("Cannot set another user's typing state");
        const body = await context.json();
        rooms.setTyping(context.param("roomId"), userId, body["typing"] === true, asNumber(body["timeout"], 30_000));
        return {};
      },
    },
  ];
}

function receiptRoutes(parts: ServerParts): Route[] {
  const { rooms } = parts;
  const readMarkers = async (context: RouteContext): Promise<Json> => {
    const { account } = context.session();
    const body = await context.json();
    for (const type of ["m.fully_read", "m.read", "m.read.private"]) {
      const eventId = asString(body[type]);
      if (eventId !== undefined) rooms.setReceipt(context.param("roomId"), account, { type, eventId });
    }
    return {};
  };
  return [
    { method: "POST", path: "/rooms/:roomId/read_markers", handle: readMarkers },
    {
      method: "POST",
      path: "/rooms/:roomId/receipt/:type/:eventId",
      handle: async (context) => {
        const { account } = context.session();
        const body = await context.json();
        rooms.setReceipt(context.param("roomId"), account, {
          type: context.param("type"),
          eventId: context.param("eventId"),
          threadId: asString(body["thread_id"]),
        });
        return {};
      },
    },
  ];
}

function roomDataRoutes(parts: ServerParts): Route[] {
  const { rooms } = parts;
  const base = "/user/:userId/rooms/:roomId";
  const own = (context: RouteContext): Account => {
    const { account } = context.session();
    if (context.param("userId") !== account.userId) throw forbidden("Not your own account");
    rooms.get(context.param("roomId"));
    return account;
  };
  const tagsOf = (account: Account, roomId: string): Json =>
    asJson(account.roomAccountData.get(roomId)?.get("m.tag")?.content["tags"]);
  return [
    {
      method: "GET",
      path: `${base}/account_data/:type`,
      handle: (context) => {
        const data = own(context).roomAccountData.get(context.param("roomId"))?.get(context.param("type"));
        if (data === undefined) throw notFound("Room account data not found");
        return data.content;
      },
    },
    {
      method: "PUT",
      path: `${base}/account_data/:type`,
      handle: async (context) => {
        const account = own(context);
        rooms.setAccountData(account, context.param("roomId"), context.param("type"), await context.json());
        return {};
      },
    },
    {
      method: "GET",
      path: `${base}/tags`,
      handle: (context) => ({ tags: tagsOf(own(context), context.param("roomId")) }),
    },
    {
      method: "PUT",
      path: `${base}/tags/:tag`,
      handle: async (context) => {
        const body = await context.json();
        const account = own(context);
        const roomId = context.param("roomId");
        const tags = { ...tagsOf(account, roomId), [context.param("tag")]: body };
        rooms.setAccountData(account, roomId, "m.tag", { tags });
        return {};
      },
    },
    {
      method: "DELETE",
      path: `${base}/tags/:tag`,
      handle: (context) => {
        const account = own(context);
        const roomId = context.param("roomId");
        const { [context.param("tag")]: _, ...tags } = tagsOf(account, roomId);
        rooms.setAccountData(account, roomId, "m.tag", { tags });
        return {};
      },
    },
  ];
}

/** Everything that changes rooms. */
export function roomRoutes(parts: ServerParts): Route[] {
  return [...membershipRoutes(parts), ...sendRoutes(parts), ...receiptRoutes(parts), ...roomDataRoutes(parts)];
}
