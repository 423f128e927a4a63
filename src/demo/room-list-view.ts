import { asJson, asNumber, asString, asStrings, isJson, type Json } from "./homeserver/wire.ts";

/** What the view knows of one room. */
export interface ViewedRoom {
  name: string;
  lastLine: string;
  highlightCount: number;
  notificationCount: number;
  isInvite: boolean;
  typing: readonly string[];
}

const UNKNOWN_ROOM: ViewedRoom = {
  name: "…",
  lastLine: "",
  highlightCount: 0,
  notificationCount: 0,
  isInvite: false,
  typing: [],
};

const MEMBERSHIP_VERBS: Readonly<Record<string, string>> = {
  join: "is here",
  invite: "is invited",
  knock: "knocks",
  leave: "leaves",
  ban: "is banned",
};

/** `@ada:server` as people say it. */
function shortName(userId: string): string {
  const localpart = userId.replace(/^@/u, "").split(":")[0] ?? userId;
  return localpart.charAt(0).toUpperCase() + localpart.slice(1);
}

/** An event in a line; null for those not worth one. */
function describeEvent(event: Json): string | null {
  const content = asJson(event["content"]);
  const sender = shortName(asString(event["sender"]) ?? "?");
  switch (event["type"]) {
    case "m.room.message":
      return `${sender}: ${asString(content["body"]) ?? ""}`;
    case "m.reaction":
      return `${sender} reacts ${asString(asJson(content["m.relates_to"])["key"]) ?? ""}`;
    case "m.room.name":
      return `${sender} names it ${asString(content["name"]) ?? ""}`;
    case "m.room.member":
      return `${shortName(asString(event["state_key"]) ?? "?")} ${MEMBERSHIP_VERBS[asString(content["membership"]) ?? ""] ?? "changes"}`;
    default:
      return null;
  }
}

/** The client's half of MSC3575 for one list: keeps the order from list operations, and what is known of each room. */
export class RoomListView {
  readonly #order = new Map<number, string>();
  readonly #rooms = new Map<string, ViewedRoom>();
  #count = 0;

  /** Rooms in the whole list. */
  get count(): number {
    return this.#count;
  }

  /** Room IDs by index; gaps where the client knows nothing. */
  get order(): ReadonlyMap<number, string> {
    return this.#order;
  }

  room(roomId: string): ViewedRoom {
    return this.#rooms.get(roomId) ?? UNKNOWN_ROOM;
  }

  /** Where a room is in the window; null when outside of it. */
  indexOf(roomId: string): number | null {
    for (const [index, shown] of this.#order) if (shown === roomId) return index;
    return null;
  }

  /** Starts over, as after `M_UNKNOWN_POS`. */
  clear(): void {
    this.#order.clear();
    this.#rooms.clear();
  }

  /** Takes a response; what there is to say about it, one line each. */
  apply(response: Json): string[] {
    const lines = this.#applyRooms(asJson(response["rooms"]));
    const list = asJson(asJson(response["lists"])["all"]);
    this.#count = asNumber(list["count"], this.#count);
    if (Array.isArray(list["ops"])) this.#applyOps(list["ops"].filter(isJson));
    this.#applyTyping(asJson(asJson(asJson(response["extensions"])["typing"])["rooms"]));
    return lines.map(({ roomId, line }) => {
      const index = this.indexOf(roomId);
      return `${index === null ? " -" : String(index + 1).padStart(2)}  ${this.room(roomId).name}  ${line}`;
    });
  }

  #applyRooms(rooms: Json): { roomId: string; line: string }[] {
    const lines: { roomId: string; line: string }[] = [];
    for (const [roomId, value] of Object.entries(rooms)) {
      const update = asJson(value);
      const known = update["initial"] === true ? UNKNOWN_ROOM : this.room(roomId);
      const timeline = Array.isArray(update["timeline"]) ? update["timeline"].filter(isJson) : [];
      const said = timeline.map((event) => describeEvent(event)).filter((line) => line !== null);
      const isInvite = Array.isArray(update["invite_state"]);
      const lastLine = said.at(-1) ?? (isInvite ? "invites you" : known.lastLine);
      this.#rooms.set(roomId, {
        name: asString(update["name"]) ?? known.name,
        lastLine,
        highlightCount: asNumber(update["highlight_count"], known.highlightCount),
        notificationCount: asNumber(update["notification_count"], known.notificationCount),
        isInvite: isInvite || (known.isInvite && update["initial"] !== true),
        typing: known.typing,
      });
      if (lastLine !== known.lastLine) lines.push({ roomId, line: lastLine });
    }
    return lines;
  }

  #applyOps(ops: readonly Json[]): void {
    let gap: number | null = null;
    const closeGap = (): void => {
      if (gap !== null) this.#closeGap(gap);
      gap = null;
    };
    for (const op of ops) {
      const [start = 0, end = -1] = Array.isArray(op["range"]) ? op["range"].map((bound) => asNumber(bound, 0)) : [];
      const index = asNumber(op["index"], 0);
      switch (op["op"]) {
        case "SYNC":
          for (const [offset, roomId] of asStrings(op["room_ids"]).entries()) this.#order.set(start + offset, roomId);
          break;
        case "INVALIDATE":
          for (let at = start; at <= end; at += 1) this.#order.delete(at);
          break;
        case "DELETE":
          closeGap();
          this.#order.delete(index);
          gap = index;
          break;
        case "INSERT":
          if (gap !== null) this.#shift(gap, index);
          gap = null;
          this.#order.set(index, asString(op["room_id"]) ?? "");
          break;
        default:
      }
    }
    closeGap();
  }

  /** Moves what lies between a freed index and the one about to be filled by one, towards the freed one. */
  #shift(freed: number, filled: number): void {
    const step = filled < freed ? -1 : 1;
    for (let at = freed; at !== filled; at += step) this.#move(at + step, at);
  }

  #move(from: number, to: number): void {
    const roomId = this.#order.get(from);
    if (roomId === undefined) this.#order.delete(to);
    else this.#order.set(to, roomId);
    this.#order.delete(from);
  }

  /** A room left the list for good: all below it move up. */
  #closeGap(gap: number): void {
    const last = Math.max(-1, ...this.#order.keys());
    for (let at = gap; at < last; at += 1) this.#move(at + 1, at);
  }

  #applyTyping(rooms: Json): void {
    for (const [roomId, event] of Object.entries(rooms)) {
      const userIds = asStrings(asJson(asJson(event)["content"])["user_ids"]);
      this.#rooms.set(roomId, { ...this.room(roomId), typing: userIds.map((userId) => shortName(userId)) });
    }
  }
}

/** One text line for each index of the window, none wider than `columns`. */
export function renderRows(view: RoomListView, windowSize: number, columns: number): string[] {
  const rows: string[] = [];
  for (let index = 0; index < Math.min(windowSize, view.count); index += 1) {
    const roomId = view.order.get(index);
    const room = roomId === undefined ? UNKNOWN_ROOM : view.room(roomId);
    const unread = room.notificationCount === 0 ? "" : String(room.notificationCount);
    const mark = room.isInvite ? "+" : room.highlightCount > 0 ? "!" : " ";
    const activity = room.typing.length > 0 ? `${room.typing.join(", ")} typing …` : room.lastLine;
    const name = room.name.slice(0, 30).padEnd(30);
    const row = `${String(index + 1).padStart(3)}  ${name} ${unread.padStart(4)}${mark}  ${activity}`;
    rows.push(row.slice(0, Math.max(columns - 1, 20)));
  }
  return rows;
}
