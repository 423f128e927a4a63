import { ByteWriter } from "../byte-writer.ts";
import type { DraftList } from "../engine/draft.ts";
import type { RoomEntry } from "../engine/room-entry.ts";
import type { RoomNid } from "../ids.ts";
import type { ResponseParts } from "./dialect.ts";
import { writeExtensions } from "./extensions-writer.ts";
import { encodeRooms, heroesJson, writeArray, writerFor, writeRooms } from "./response-writer.ts";

/** What the two forms of simplified sliding sync write differently. */
export interface ResponseForm {
  writeList(list: DraftList, roomIdOf: (nid: RoomNid) => string): string;
  /** Members of a room that only one form has, or that it names differently. */
  writeOwn(out: ByteWriter, room: RoomEntry): void;
  expandedName: string;
  strippedName: string;
  /** What was set and is not any more is `null`. */
  tellsUnset: boolean;
}

/** Writes a response; event bytes are copied as they are. */
export function encodeSimplified(
  { pos, lists, written = [], rooms, extensions }: ResponseParts,
  form: ResponseForm,
  roomIdOf: (nid: RoomNid) => string,
): Uint8Array<ArrayBuffer> {
  const out = writerFor(written, rooms);
  out.text(`{"pos":${JSON.stringify(pos)}`);
  if (lists.length > 0) {
    const texts = lists.map((list) => `${JSON.stringify(list.key)}:${form.writeList(list, roomIdOf)}`);
    out.text(`,"lists":{${texts.join(",")}}`);
  }
  writeRooms(out, written, rooms, (_, room) => writeRoom(out, room, form));
  out.text(',"extensions":');
  writeExtensions(out, extensions, true);
  out.text("}\n");
  return out.finish();
}

/** Some of a response's rooms, to be written before the others are there. */
export function encodeSimplifiedRooms(rooms: readonly RoomEntry[], form: ResponseForm): Uint8Array {
  return encodeRooms(rooms, (out, room) => writeRoom(out, room, form));
}

function writeRoom(out: ByteWriter, room: RoomEntry, form: ResponseForm): void {
  // Every entry begins with a member of its own, so that the others have something to follow.
  out.text(`{"bump_stamp":${room.bumpStamp ?? 0}`.slice(0, room.bumpStamp === undefined ? 1 : undefined));
  let separator = room.bumpStamp === undefined ? "" : ",";
  const text = (key: string, value: string): void => {
    out.text(`${separator}"${key}":${value}`);
    separator = ",";
  };
  const own = new ByteWriter(256);
  form.writeOwn(own, room);
  const ownText = own.finish();
  if (ownText.length > 0) {
    out.text(separator);
    out.bytes(ownText);
    separator = ",";
  }
  if (room.isInitial) text("initial", "true");
  if (room.name !== undefined && (room.name !== "" || form.tellsUnset)) {
    text("name", room.name === "" ? "null" : JSON.stringify(room.name));
  }
  if (room.avatar !== undefined && (room.avatar !== null || form.tellsUnset))
    text("avatar", JSON.stringify(room.avatar));
  if (room.heroes !== undefined && room.heroes.length > 0) text("heroes", heroesJson(room.heroes));
  if (room.isDm) text("is_dm", "true");
  else if (room.isDmTold === true && form.tellsUnset) text("is_dm", "false");
  if (room.joinedCount !== undefined) text("joined_count", String(room.joinedCount));
  if (room.invitedCount !== undefined) text("invited_count", String(room.invitedCount));
  const events = (key: string, list: readonly Uint8Array[]): void => {
    if (list.length === 0) return;
    out.text(`${separator}"${key}":`);
    writeArray(out, list);
    separator = ",";
  };
  events("required_state", room.requiredState);
  events("timeline", room.timeline);
  if (room.inviteState !== undefined) {
    out.text(`${separator}"${form.strippedName}":`);
    out.bytes(room.inviteState);
    separator = ",";
  }
  if (room.isExpanded === true) text(form.expandedName, "true");
  if (room.isLimited !== undefined) {
    if (room.prevBatch !== null) text("prev_batch", JSON.stringify(room.prevBatch));
    text("limited", String(room.isLimited));
    text("num_live", String(room.numLive));
  }
  out.text("}");
}

/** `org.matrix.simplified_msc3575`. */
export const UNSTABLE_RESPONSE: ResponseForm = {
  writeList({ count, windows = [] }, roomIdOf) {
    const ops = windows.map(
      ({ range: [start, end], rooms }) =>
        `{"op":"SYNC","range":[${start},${end}],"room_ids":${JSON.stringify(rooms.map(roomIdOf))}}`,
    );
    return `{"count":${count},"ops":[${ops.join(",")}]}`;
  },
  writeOwn(out, { notificationCount, highlightCount }) {
    out.text(`"notification_count":${notificationCount},"highlight_count":${highlightCount}`);
  },
  expandedName: "unstable_expanded_timeline",
  strippedName: "invite_state",
  tellsUnset: false,
};

/** MSC4186 as it was merged. */
export const V4_RESPONSE: ResponseForm = {
  writeList: ({ count }) => `{"count":${count}}`,
  writeOwn(out, { membership, lists = [] }) {
    out.text(`"membership":${JSON.stringify(membership ?? "join")}`);
    if (lists.length > 0) out.text(`,"lists":${JSON.stringify(lists)}`);
  },
  expandedName: "expanded_timeline",
  strippedName: "stripped_state",
  tellsUnset: true,
};
