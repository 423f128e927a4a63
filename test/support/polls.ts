import type { EventFields, Membership } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomId, UserId } from "#src/protocol/ids.ts";
import {
  type PollBatch,
  type PolledJoin,
  type PolledLeave,
  type PolledReceipt,
  type PolledSnapshot,
  type PolledStripped,
  newBatch,
} from "#src/protocol/poll-batch.ts";

const encoder = new TextEncoder();

/** JSON text as bytes. */
export const bytesOf = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));

interface EventInput {
  type?: string;
  stateKey?: string | null;
  sender?: string;
  ts?: number;
  content?: Record<string, unknown>;
  prevMembership?: Membership | null;
  txnId?: string | null;
}

/** An event as the slicer hands it on. */
export function polledEvent(id: string, input: EventInput = {}): EventFields {
  const { type = "m.room.message", stateKey = null, sender = "@sender:hs", ts = 1000, content = {} } = input;
  const membership = type === "m.room.member" ? (content["membership"] as Membership) : null;
  return {
    id: id as EventId,
    type,
    stateKey,
    sender,
    ts,
    membership,
    prevMembership: input.prevMembership ?? null,
    redacts: null,
    replacesState: null,
    txnId: input.txnId ?? null,
    json: bytesOf({
      event_id: id,
      type,
      sender,
      origin_server_ts: ts,
      content,
      ...(stateKey === null ? {} : { state_key: stateKey }),
    }),
  };
}

/** A state event. */
export const stateEvent = (
  id: string,
  type: string,
  stateKey: string,
  content: Record<string, unknown> = {},
): EventFields => polledEvent(id, { type, stateKey, content });

/** A membership event of `userId`. */
export const memberEvent = (
  id: string,
  userId: string,
  membership: Membership,
  input: EventInput & { name?: string } = {},
): EventFields =>
  polledEvent(id, {
    sender: userId,
    ...input,
    type: "m.room.member",
    stateKey: userId,
    content: { membership, ...(input.name === undefined ? {} : { displayname: input.name }) },
  });

/** A `rooms.join` section. */
export const joinSection = (roomId: string, part: Partial<PolledJoin> = {}): PolledJoin => ({
  kind: "join",
  roomId: roomId as RoomId,
  state: [],
  isStateAfter: false,
  timeline: [],
  limited: false,
  prevBatch: null,
  accountData: [],
  typing: null,
  receipts: [],
  notificationCount: null,
  highlightCount: null,
  ...part,
});

/** A `rooms.leave` section. */
export const leaveSection = (roomId: string, part: Partial<PolledLeave> = {}): PolledLeave => ({
  kind: "leave",
  roomId: roomId as RoomId,
  state: [],
  isStateAfter: false,
  timeline: [],
  limited: false,
  prevBatch: null,
  accountData: [],
  ...part,
});

/** A `rooms.invite` section whose stripped state holds the user's own member event. */
export const inviteSection = (
  roomId: string,
  userId: string,
  options: { sender?: string; isDirect?: boolean; kind?: "invite" | "knock" } = {},
): PolledStripped => {
  const { sender = "@inviter:hs", isDirect = false, kind = "invite" } = options;
  const content = { membership: kind, ...(isDirect ? { is_direct: true } : {}) };
  return {
    kind,
    roomId: roomId as RoomId,
    stripped: bytesOf([{ type: "m.room.member", state_key: userId, sender, content }]),
  };
};

/** A room's state as read from the homeserver when the stream stood at `readAt`. */
export const snapshotSection = (
  roomId: string,
  state: EventFields[],
  readAt: number,
  part: Partial<PolledSnapshot> = {},
): PolledSnapshot => ({
  kind: "snapshot",
  roomId: roomId as RoomId,
  state,
  readAt,
  isWhole: true,
  isForced: false,
  ...part,
});

/** What a repair hands to ingest: of no device, without a token. */
export const repairBatch = (userId: string, ...rooms: PollBatch["rooms"]): PollBatch =>
  pollBatch(userId, { device: "", since: null, rooms });

/** A public, unthreaded receipt. */
export const polledReceipt = (userId: string, eventId: string, part: Partial<PolledReceipt> = {}): PolledReceipt => ({
  userId,
  eventId,
  threadId: "",
  isPrivate: false,
  ts: 1,
  ...part,
});

/** One incremental poll of `userId`'s device. */
export const pollBatch = (userId: string, part: Partial<PollBatch> & { device?: string } = {}): PollBatch => {
  const { device = "DEV", ...rest } = part;
  return newBatch(userId as UserId, device as DeviceId, { since: "s1", ...rest });
};
