import { ByteWriter } from "../byte-writer.ts";
import type { ExtensionsBody } from "../engine/extensions-body.ts";
import type { RoomEntry } from "../engine/room-entry.ts";
import type { RoomNid } from "../ids.ts";
import type { ListOp } from "../list-ops.ts";
import { expectedBytes, heroesJson, writeArray, writeEvents, writeMap } from "./response-writer.ts";

/** Everything one MSC3575 response says. */
export interface Msc3575Response {
  pos: string;
  txnId: string | undefined;
  lists: readonly { key: string; count: number; ops: readonly ListOp<RoomNid>[] }[];
  /** Rooms that are written already, by `encodeRooms`; those of `rooms` follow. */
  written?: readonly Uint8Array[];
  rooms: readonly RoomEntry[];
  extensions: ExtensionsBody;
}

/** Writes the response; event bytes are copied as they are. `roomIdOf` names rooms of list operations. */
export function encodeMsc3575(response: Msc3575Response, roomIdOf: (nid: RoomNid) => string): Uint8Array<ArrayBuffer> {
  const written = response.written ?? [];
  const writtenBytes = written.reduce((sum, { length }) => sum + length + 1, 0);
  const out = new ByteWriter(writtenBytes + expectedBytes(response.rooms));
  out.text(`{"pos":${JSON.stringify(response.pos)}`);
  if (response.txnId !== undefined) out.text(`,"txn_id":${JSON.stringify(response.txnId)}`);
  out.text(',"lists":{');
  let separator = "";
  for (const list of response.lists) {
    const ops = list.ops.length === 0 ? "" : `,"ops":[${list.ops.map((op) => opJson(op, roomIdOf)).join(",")}]`;
    out.text(`${separator}${JSON.stringify(list.key)}:{"count":${list.count}${ops}}`);
    separator = ",";
  }
  out.text('},"rooms":{');
  separator = "";
  for (const rooms of written) {
    if (rooms.length === 0) continue;
    out.text(separator);
    out.bytes(rooms);
    separator = ",";
  }
  writeRooms(out, response.rooms, separator);
  out.text('},"extensions":');
  writeExtensions(out, response.extensions);
  out.text("}\n");
  return out.finish();
}

function opJson(op: ListOp<RoomNid>, roomIdOf: (nid: RoomNid) => string): string {
  switch (op.op) {
    case "SYNC":
      return `{"op":"SYNC","range":[${op.range[0]},${op.range[1]}],"room_ids":${JSON.stringify(op.rooms.map(roomIdOf))}}`;
    case "INVALIDATE":
      return `{"op":"INVALIDATE","range":[${op.range[0]},${op.range[1]}]}`;
    case "DELETE":
      return `{"op":"DELETE","index":${op.index}}`;
    case "INSERT":
      return `{"op":"INSERT","index":${op.index},"room_id":${JSON.stringify(roomIdOf(op.room))}}`;
  }
}

/** Some of a response's rooms, to be written before the others are there. */
export function encodeRooms(rooms: readonly RoomEntry[]): Uint8Array {
  const out = new ByteWriter(expectedBytes(rooms));
  writeRooms(out, rooms, "");
  return out.finish();
}

function writeRooms(out: ByteWriter, rooms: readonly RoomEntry[], before: string): void {
  let separator = before;
  for (const room of rooms) {
    out.text(`${separator}${JSON.stringify(room.roomId)}:`);
    writeRoom(out, room);
    separator = ",";
  }
}

function writeRoom(out: ByteWriter, room: RoomEntry): void {
  out.text(`{"notification_count":${room.notificationCount},"highlight_count":${room.highlightCount}`);
  if (room.isInitial) out.text(',"initial":true');
  if (room.name !== undefined && room.name !== "") out.text(`,"name":${JSON.stringify(room.name)}`);
  if (room.avatar !== undefined) out.text(`,"avatar":${JSON.stringify(room.avatar)}`);
  if (room.heroes !== undefined) out.text(`,"heroes":${heroesJson(room.heroes)}`);
  if (room.isDm) out.text(',"is_dm":true');
  if (room.joinedCount !== undefined && room.joinedCount > 0) out.text(`,"joined_count":${room.joinedCount}`);
  if (room.invitedCount !== undefined) out.text(`,"invited_count":${room.invitedCount}`);
  if (room.requiredState.length > 0) writeEvents(out, "required_state", room.requiredState);
  if (room.timeline.length > 0) writeEvents(out, "timeline", room.timeline);
  if (room.inviteState !== undefined) {
    out.text(',"invite_state":');
    out.bytes(room.inviteState);
  }
  if (room.prevBatch !== null) out.text(`,"prev_batch":${JSON.stringify(room.prevBatch)}`);
  if (room.isLimited !== undefined) out.text(`,"limited":${room.isLimited}`);
  if (room.numLive > 0) out.text(`,"num_live":${room.numLive}`);
  if (room.timestamp > 0) out.text(`,"timestamp":${room.timestamp}`);
  out.text("}");
}

function writeExtensions(out: ByteWriter, body: ExtensionsBody): void {
  let separator = "{";
  const key = (name: string): void => {
    out.text(`${separator}"${name}":`);
    separator = ",";
  };
  if (body.toDevice !== undefined) {
    key("to_device");
    out.text(`{"next_batch":${JSON.stringify(body.toDevice.nextBatch)}`);
    if (body.toDevice.events.length > 0) writeEvents(out, "events", body.toDevice.events);
    out.text("}");
  }
  if (body.e2ee !== undefined) {
    key("e2ee");
    const { otkCounts, fallbackKeyTypes, lists } = body.e2ee;
    const parts: string[] = [];
    if (otkCounts !== null) parts.push(`"device_one_time_keys_count":${otkCounts}`);
    if (fallbackKeyTypes !== null) parts.push(`"device_unused_fallback_key_types":${fallbackKeyTypes}`);
    if (lists !== null) parts.push(`"device_lists":${JSON.stringify(lists)}`);
    out.text(`{${parts.join(",")}}`);
  }
  if (body.accountData !== undefined) {
    key("account_data");
    out.text("{");
    let inner = "";
    if (body.accountData.global.length > 0) {
      out.text('"global":');
      writeArray(out, body.accountData.global);
      inner = ",";
    }
    if (body.accountData.rooms.size > 0) {
      out.text(`${inner}"rooms":`);
      writeMap(out, body.accountData.rooms, (events) => writeArray(out, events));
    }
    out.text("}");
  }
  if (body.receipts !== undefined) {
    key("receipts");
    out.text('{"rooms":');
    writeMap(out, body.receipts, (edu) => out.text(edu));
    out.text("}");
  }
  if (body.typing !== undefined) {
    key("typing");
    out.text('{"rooms":');
    writeMap(out, body.typing, (edu) => out.bytes(edu));
    out.text("}");
  }
  out.text(separator === "{" ? "{}" : "}");
}
