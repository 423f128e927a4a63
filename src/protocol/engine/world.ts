import type { RoomNid, StreamPos, UserId } from "../ids.ts";
import type { RoomMeta, UserRoom } from "../room-meta.ts";
import type { InviteView } from "../room-name.ts";
import type { RoomOrder } from "../room-order.ts";

/** What the engine sees of a user's rooms: in memory, read synchronously, as of the last applied update. */
export interface World {
  readonly userId: UserId;
  /** Senders whose messages the user does not want to see. */
  readonly ignored: ReadonlySet<string>;
  standings(): Iterable<UserRoom>;
  standing(nid: RoomNid): UserRoom | undefined;
  meta(nid: RoomNid): RoomMeta | undefined;
  /** Only rooms the user has a standing in. */
  nidOf(roomId: string): RoomNid | undefined;
  isDirect(roomId: string): boolean;
  /** Where it was last said which rooms are direct. */
  readonly directPos: StreamPos;
  tags(nid: RoomNid): ReadonlySet<string>;
  /** The user's rooms under one filter and sort as they are now: made once, then `placed` room by room as they change. */
  order(
    signature: string,
    make: () => RoomOrder<RoomNid>,
    place: (order: RoomOrder<RoomNid>, nid: RoomNid) => void,
  ): RoomOrder<RoomNid>;
  /** From this position on the room waits for the transaction id of an own event; null = nothing waits. */
  heldFrom(nid: RoomNid): StreamPos | null;
  /** Rooms that the user is in with sticky events that may not have expired at that time. */
  stickyRooms(nowMs: number): readonly RoomNid[];
  /** Grows with whatever happens in the room, or, for who is not in it, with their membership: rooms are listed by it. */
  activity(nid: RoomNid): number;
  /** Stripped state of an invite or a knock, read once; null for rooms that are neither. */
  stripped(nid: RoomNid): InviteView | null;
  /** Stripped state of an invite, read once; null for rooms that are not invites. */
  invite(nid: RoomNid): InviteView | null;
}

/** Why a room is dirty; several may hold. */
export const DIRTY = {
  /** Timeline events, or anything of the room's metadata. */
  event: 1,
  /** Unread counts. */
  counts: 2,
  receipt: 4,
  typing: 8,
  accountData: 16,
  /** The user's own standing changed. */
  standing: 32,
  /** Has to be sent anew to clients that hold it. */
  reset: 64,
  /** Only its place in lists may have changed. */
  place: 128,
} as const;

/** What changed for the user apart from rooms. */
export const DIRTY_USER = { accountData: 1, toDevice: 2, device: 4, sticky: 8 } as const;
