import type { Membership } from "#src/protocol/events.ts";
import type { RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { UserRoom } from "#src/protocol/room-meta.ts";
import { sameBytes } from "./bytes.ts";

/** Stands for the position that the changed row itself is given when the group is complete. */
export const OWN_POS: StreamPos = -1;

/** True for one who is neither in nor out. */
export const isPending = (membership: Membership | undefined): boolean =>
  membership === "invite" || membership === "knock";

/** A membership event, as far as a standing cares. */
export interface MembershipFact {
  membership: Membership;
  sender: string;
  ts: number;
  pos: StreamPos;
}

/** Of one who has had nothing to do with a room, as far as is known. */
export const noStanding = (userId: UserId, nid: RoomNid): UserRoom => ({
  userId,
  nid,
  membership: "leave",
  memberPos: 0,
  memberSender: userId,
  joinPos: 0,
  joinTs: 0,
  leftPos: null,
  stripped: null,
  isDirect: false,
  notificationCount: 0,
  highlightCount: 0,
  pos: 0,
});

/** A new stay: history is visible from this join on, or from where it is known to have begun. `is_direct` of the invite it accepts stays. */
export function join(
  before: UserRoom | null,
  userId: UserId,
  nid: RoomNid,
  fact: MembershipFact,
  joinPos: StreamPos = fact.pos,
): UserRoom {
  return {
    ...(before ?? noStanding(userId, nid)),
    membership: "join",
    memberPos: fact.pos,
    memberSender: fact.sender,
    joinPos,
    joinTs: fact.ts,
    leftPos: null,
    stripped: null,
  };
}

/**
 * The end of a stay, invite or knock, or what follows such an end (a ban after a kick, the end of that ban); `lastPos` is the last
 * position that the user may see of a stay, `ending` the event that says so.
 */
export function leave(before: UserRoom, fact: MembershipFact, lastPos: StreamPos, ending: Uint8Array | null): UserRoom {
  return {
    ...before,
    membership: fact.membership,
    memberPos: fact.pos,
    memberSender: fact.sender,
    joinTs: fact.ts || before.joinTs,
    leftPos: before.membership === "join" ? lastPos : before.leftPos,
    stripped: before.membership === "join" ? null : ending,
    isDirect: false,
    notificationCount: 0,
    highlightCount: 0,
  };
}

/** A membership that ended before we knew of the user in this room; `seen` is what of it may be shown, if there was a stay to see. */
export function departed(
  userId: UserId,
  nid: RoomNid,
  fact: MembershipFact,
  seen: { joinPos: StreamPos; leftPos: StreamPos } | null,
  ending: Uint8Array | null = null,
): UserRoom {
  return {
    ...noStanding(userId, nid),
    membership: fact.membership,
    memberPos: fact.pos,
    memberSender: fact.sender,
    joinPos: seen?.joinPos ?? 0,
    joinTs: fact.ts,
    leftPos: seen?.leftPos ?? null,
    stripped: seen === null ? ending : null,
  };
}

/** A forgotten room is one that the user left by themselves, and of which they may see nothing. */
export function forget(before: UserRoom): UserRoom {
  if (before.membership !== "leave" && before.membership !== "ban") return before;
  const fact = { membership: "leave", sender: before.userId, ts: before.joinTs, pos: before.memberPos } as const;
  return departed(before.userId, before.nid, fact, null);
}

/** True for a standing as `forget` leaves it. */
export const isForgotten = ({ membership, memberSender, userId, joinPos, leftPos }: UserRoom): boolean =>
  membership === "leave" && memberSender === userId && joinPos === 0 && leftPos === null;

/** An invite or knock, or what another one made of it. An earlier stay stays visible. */
export function strip(
  before: UserRoom | null,
  userId: UserId,
  nid: RoomNid,
  fact: MembershipFact,
  preview: { stripped: Uint8Array; isDirect: boolean; lastPos: StreamPos },
): UserRoom {
  const base = before ?? noStanding(userId, nid);
  const isSame = before?.membership === fact.membership && before.memberSender === fact.sender;
  return {
    ...base,
    membership: fact.membership,
    memberPos: isSame ? base.memberPos : fact.pos,
    memberSender: fact.sender,
    joinTs: fact.ts,
    leftPos: base.membership === "join" ? preview.lastPos : base.leftPos,
    stripped: preview.stripped,
    isDirect: preview.isDirect,
    notificationCount: 0,
    highlightCount: 0,
  };
}

/** True when two rows say the same, whatever their own position. */
export function isSameStanding(a: UserRoom, b: UserRoom): boolean {
  return (
    a.membership === b.membership &&
    a.memberPos === b.memberPos &&
    a.memberSender === b.memberSender &&
    a.joinPos === b.joinPos &&
    a.joinTs === b.joinTs &&
    a.leftPos === b.leftPos &&
    a.isDirect === b.isDirect &&
    a.notificationCount === b.notificationCount &&
    a.highlightCount === b.highlightCount &&
    sameBytes(a.stripped, b.stripped)
  );
}
