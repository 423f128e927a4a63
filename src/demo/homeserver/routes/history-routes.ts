import { type Room, renderEvent, type StoredEvent, membershipOf } from "../room.ts";
import type { Route, RouteContext } from "../router.ts";
import type { ServerParts } from "../server-parts.ts";
import { formatToken, parseToken } from "../stream.ts";
import { forbidden, type Json, notFound } from "../wire.ts";

/** Events of one page of history, whatever is asked for. */
const MAX_PAGE = 1000;

function limitOf(query: URLSearchParams, fallback: number): number {
  const limit = Number(query.get("limit") ?? fallback);
  return Number.isInteger(limit) && limit >= 0 ? Math.min(limit, MAX_PAGE) : fallback;
}

const tokenAt = (pos: number): string => formatToken({ pos, toDevice: 0 });

interface Page {
  events: StoredEvent[];
  /** Where the next page starts; null at the end of the room. */
  next: number | null;
}

/** Visible events at or below `from`, newest first. */
function pageBack(room: Room, userId: string, from: number, to: number, limit: number): Page {
  const events: StoredEvent[] = [];
  for (let index = room.indexAfter(from) - 1; index >= 0; index -= 1) {
    const stored = room.at(index);
    if (stored === undefined || stored.pos <= to) break;
    if (!room.canSee(stored, userId)) continue;
    if (events.length === limit) return { events, next: (events.at(-1)?.pos ?? from + 1) - 1 };
    events.push(stored);
  }
  return { events, next: null };
}

/** Visible events above `from`, oldest first. */
function pageForward(room: Room, userId: string, from: number, to: number, limit: number): Page {
  const events: StoredEvent[] = [];
  for (let index = room.indexAfter(from); index < room.length; index += 1) {
    const stored = room.at(index);
    if (stored === undefined || stored.pos > to) break;
    if (!room.canSee(stored, userId)) continue;
    if (events.length === limit) return { events, next: events.at(-1)?.pos ?? from };
    events.push(stored);
  }
  return { events, next: null };
}

/** The last stream position whose state a user may read; throws for those who never were in the room. */
function readableUpTo(room: Room, userId: string): number {
  const member = room.member(userId);
  if (membershipOf(member) === "join") return Number.MAX_SAFE_INTEGER;
  const wasIn = membershipOf(member?.replaced) === "join";
  if (member === undefined || !wasIn) throw forbidden(`User ${userId} not in room ${room.roomId}`);
  return member.pos;
}

function historyRoutes(parts: ServerParts): Route[] {
  const viewOf = (
    context: RouteContext,
  ): { room: Room; userId: string; upTo: number; render: (s: StoredEvent) => Json } => {
    const { account, device } = context.session();
    const { room } = parts.rooms.get(context.param("roomId"));
    const upTo = readableUpTo(room, account.userId);
    const nowMs = parts.clock.now();
    return { room, userId: account.userId, upTo, render: (stored) => renderEvent(room, stored, device, nowMs) };
  };
  return [
    {
      method: "GET",
      path: "/rooms/:roomId/messages",
      handle: (context) => {
        const { room, userId, upTo, render } = viewOf(context);
        const { query } = context;
        const limit = limitOf(query, 10);
        const isForward = query.get("dir") === "f";
        const present = Math.min(upTo, parts.stream.pos);
        const from = query.has("from") ? parseToken(query.get("from") ?? "").pos : isForward ? 0 : present;
        const to = query.has("to") ? parseToken(query.get("to") ?? "").pos : isForward ? present : 0;
        const page = isForward
          ? pageForward(room, userId, from, Math.min(to, present), limit)
          : pageBack(room, userId, Math.min(from, present), to, limit);
        return {
          start: tokenAt(from),
          ...(page.next === null ? {} : { end: tokenAt(page.next) }),
          chunk: page.events.map((stored) => render(stored)),
          state: [],
        };
      },
    },
    {
      method: "GET",
      path: "/rooms/:roomId/context/:eventId",
      handle: (context) => {
        const { room, userId, upTo, render } = viewOf(context);
        const stored = room.event(context.param("eventId"));
        if (stored === undefined || !room.canSee(stored, userId)) throw notFound("Event not found.");
        const limit = limitOf(context.query, 10);
        const before = pageBack(room, userId, stored.pos - 1, 0, Math.floor(limit / 2));
        const after = pageForward(room, userId, stored.pos, upTo, Math.ceil(limit / 2));
        return {
          event: render(stored),
          events_before: before.events.map((event) => render(event)),
          events_after: after.events.map((event) => render(event)),
          start: tokenAt((before.events.at(-1)?.pos ?? stored.pos) - 1),
          end: tokenAt(after.events.at(-1)?.pos ?? stored.pos),
          state: room.stateBelow(stored.pos + 1).map((event) => render(event)),
        };
      },
    },
    {
      method: "GET",
      path: "/rooms/:roomId/event/:eventId",
      handle: (context) => {
        const { room, userId, render } = viewOf(context);
        const stored = room.event(context.param("eventId"));
        if (stored === undefined || !room.canSee(stored, userId)) throw notFound("Event not found.");
        return render(stored);
      },
    },
    {
      method: "GET",
      path: "/rooms/:roomId/state",
      handle: (context) => {
        const { room, upTo, render } = viewOf(context);
        return Response.json(room.stateBelow(upTo + 1).map((stored) => render(stored)));
      },
    },
    ...["/rooms/:roomId/state/:type", "/rooms/:roomId/state/:type/:stateKey"].map((path): Route => ({
      method: "GET",
      path,
      handle: (context) => {
        const { room, upTo } = viewOf(context);
        let stored = room.state(context.param("type"), context.param("stateKey")) ?? null;
        while (stored !== null && stored.pos > upTo) stored = stored.replaced;
        if (stored === null) throw notFound("Event not found.");
        return context.query.get("format") === "event" ? { ...stored.event } : stored.event.content;
      },
    })),
    {
      method: "GET",
      path: "/rooms/:roomId/members",
      handle: (context) => {
        const { room, upTo, render } = viewOf(context);
        const only = context.query.get("membership");
        const not = context.query.get("not_membership");
        const members = room.stateBelow(upTo + 1).filter((stored) => stored.event.type === "m.room.member");
        return {
          chunk: members
            .filter((stored) => only === null || membershipOf(stored) === only)
            .filter((stored) => not === null || membershipOf(stored) !== not)
            .map((stored) => render(stored)),
        };
      },
    },
    {
      method: "GET",
      path: "/rooms/:roomId/joined_members",
      handle: (context) => {
        const { room } = viewOf(context);
        const joined = [...room.members()].filter((stored) => membershipOf(stored) === "join");
        const describe = ({ event }: StoredEvent): [string, Json] => [
          event.state_key ?? "",
          { display_name: event.content["displayname"] ?? null, avatar_url: event.content["avatar_url"] ?? null },
        ];
        return { joined: Object.fromEntries(joined.map((stored) => describe(stored))) };
      },
    },
  ];
}

function directoryRoutes(parts: ServerParts): Route[] {
  const publicRooms = (): Json => {
    const chunk = [...parts.rooms.all()]
      .filter((entry) => entry.isListed)
      .map(({ room }) => ({
        room_id: room.roomId,
        name: room.stateString("m.room.name", "name"),
        topic: room.stateString("m.room.topic", "topic"),
        canonical_alias: room.stateString("m.room.canonical_alias", "alias"),
        join_rule: room.stateString("m.room.join_rules", "join_rule"),
        num_joined_members: [...room.joinedUsers()].length,
        world_readable: false,
        guest_can_join: false,
      }));
    return { chunk, total_room_count_estimate: chunk.length };
  };
  return [
    { method: "GET", path: "/publicRooms", handle: publicRooms },
    { method: "POST", path: "/publicRooms", handle: publicRooms },
    {
      method: "GET",
      path: "/directory/room/:alias",
      handle: (context) => ({
        room_id: parts.rooms.resolve(context.param("alias")),
        servers: [parts.ids.serverName],
      }),
    },
  ];
}

/** Everything that reads rooms. */
export function historyAndDirectoryRoutes(parts: ServerParts): Route[] {
  return [...historyRoutes(parts), ...directoryRoutes(parts)];
}
