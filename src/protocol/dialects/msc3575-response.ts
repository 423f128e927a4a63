import type { ByteWriter } from "../byte-writer.ts";
import type { ExtensionsBody } from "../engine/extensions-body.ts";
import type { RoomEntry } from "../engine/room-entry.ts";
import type { RoomNid } from "../ids.ts";
import type { ListOp } from "../list-ops.ts";
import { writeExtensions } from "./extensions-writer.ts";
import { encodeRooms, heroesJson, writeEvents, writerFor, writeRooms } from "./response-writer.ts";

/** Everything one MSC3575 response says. */
export interface Msc3575Response {
  pos: string;
  txnId: string | undefined;
  lists: readonly { key: string; count: number; ops: readonly ListOp<RoomNid>[] }[];
  /** Rooms that are written already, by `encodeMsc3575Rooms`; those of `rooms` follow. */
  written?: readonly Uint8Array[];
  rooms: readonly RoomEntry[];
  extensions: ExtensionsBody;
}

/** Writes the response; event bytes are copied as they are. `roomIdOf` names rooms of list operations. */
export function encodeMsc3575(response: Msc3575Response, roomIdOf: (nid: RoomNid) => string): Uint8Array<ArrayBuffer> {
  const written = response.written ?? [];
  const out = writerFor(written, response.rooms);
  out.text(`{"pos":${JSON.stringify(response.pos)}`);
  if (response.txnId !== undefined) out.text(`,"txn_id":${JSON.stringify(response.txnId)}`);
  out.text(',"lists":{');
  let separator = "";
  for (const list of response.lists) {
    const ops = list.ops.length === 0 ? "" : `,"ops":[${list.ops.map((op) => opJson(op, roomIdOf)).join(",")}]`;
    out.text(`${separator}${JSON.stringify(list.key)}:{"count":${list.count}${ops}}`);
    separator = ",";
  }
  out.text("}");
  writeRooms(out, written, response.rooms, writeRoom);
  out.text(',"extensions":');
  writeExtensions(out, response.extensions, false);
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
export const encodeMsc3575Rooms = (rooms: readonly RoomEntry[]): Uint8Array => encodeRooms(rooms, writeRoom);

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
