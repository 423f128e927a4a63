import type { EventFields } from "#src/protocol/events.ts";
import type { StreamPos, UserId } from "#src/protocol/ids.ts";
import type { GroupDraft } from "./group-draft.ts";
import type { StateRow } from "./ingest-transaction.ts";
import type { RoomDraft } from "./room-draft.ts";
import * as standing from "./standing.ts";

/**
 * Brings a user's standing in line with the member row of the room's state, as of `readAt`; true when it was not. `event` is
 * what the homeserver sent for the row.
 */
export function settleByState(
  group: GroupDraft,
  userId: UserId,
  room: RoomDraft,
  row: StateRow | null,
  event: EventFields | null,
  readAt: StreamPos,
): boolean {
  const before = group.users.standing(userId, room.nid);
  if (before !== null && before.pos > readAt) return false;
  if (row?.membership === "join") {
    if (before?.membership === "join") return false;
    const fact = { membership: "join", sender: event?.sender ?? userId, ts: event?.ts ?? 0, pos: row.pos } as const;
    group.users.setStanding(standing.join(before, userId, room.nid, fact));
    return true;
  }
  // What the room says of a user who has forgotten it is what they have forgotten.
  if (before !== null && standing.isForgotten(before) && (row?.pos ?? 0) <= before.memberPos) return false;
  const isInside = before?.membership === "join";
  const isAsked = before?.membership === "invite" || before?.membership === "knock";
  // What an invite or knock shows comes with the user's own poll alone, before the room itself knows of it, perhaps: here it
  // can only be taken back.
  const isRefused = row?.membership === "leave" || row?.membership === "ban";
  const isOutOtherwise = before?.membership === "leave" || before?.membership === "ban";
  if (before === null || before.membership === row?.membership) return false;
  if (!isInside && !(isRefused && (isAsked || isOutOtherwise))) return false;
  const membership = row?.membership === "ban" ? "ban" : "leave";
  const fact = {
    membership,
    sender: event?.sender ?? userId,
    ts: event?.ts ?? 0,
    pos: row?.pos ?? standing.OWN_POS,
  } as const;
  group.users.setStanding(standing.leave(before, fact, group.head, event?.json ?? null));
  return true;
}

/** The user is in the room no more, for reasons nobody tells; true when that was not known. */
export function settleGone(group: GroupDraft, userId: UserId, room: RoomDraft, readAt: StreamPos): boolean {
  return settleByState(group, userId, room, null, null, readAt);
}
