import type { EventFields, Membership } from "#src/protocol/events.ts";
import type { RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PollBatch, PolledJoin, PolledLeave, PolledStripped } from "#src/protocol/poll-batch.ts";
import { sameBytes } from "./bytes.ts";
import { findOwnMember } from "./chunk.ts";
import type { UserRoom } from "#src/protocol/room-meta.ts";
import type { GroupDraft } from "./group-draft.ts";
import { isPollerOf } from "./ingest-context.ts";
import type { RoomDraft } from "./room-draft.ts";
import * as standing from "./standing.ts";
import { findOwnStripped } from "./stripped.ts";

const encoder = new TextEncoder();

const isGone = (membership: Membership | null | undefined): membership is "leave" | "ban" =>
  membership === "leave" || membership === "ban";

/**
 * Takes a new member event of a user of ours, whoever's poller saw it. Invites and knocks are left to the user's own poll, which alone
 * brings their stripped state: others may only now learn of what came before them. `firstPos`: where what this poll brought of the room
 * begins, all of which the homeserver showed its user.
 */
export function reduceMemberEvent(
  group: GroupDraft,
  batch: PollBatch,
  room: RoomDraft,
  target: string,
  fact: standing.MembershipFact,
  event: Pick<EventFields, "prevMembership" | "json"> | null,
  firstPos: StreamPos = fact.pos,
): void {
  if (!group.isKnownUser(target)) return;
  const userId = target as UserId;
  if (isGone(fact.membership)) releaseTyping(group, userId, room);
  const before = group.users.standing(userId, room.nid);
  if (standing.isPending(before?.membership) && userId !== batch.userId) return;
  if (fact.membership === "join") {
    // A profile change does not reopen a stay; a rejoin whose leave fell into a gap does.
    const prevMembership = event?.prevMembership ?? null;
    const isRejoin = prevMembership !== null && prevMembership !== "join";
    if (before?.membership === "join" && !isRejoin) return;
    // Of a profile change that is the first we hear of: the stay began before this poll, and when nobody knows.
    const isOldStay = prevMembership === "join";
    const joinPos = isOldStay && userId === batch.userId ? firstPos : fact.pos;
    group.users.setStanding(standing.join(before, userId, room.nid, isOldStay ? { ...fact, ts: 0 } : fact, joinPos));
    return;
  }
  if (before === null || before.membership === fact.membership) return;
  if (isGone(fact.membership)) group.users.setStanding(standing.leave(before, fact, fact.pos, event?.json ?? null));
  else if (before.membership === "join") {
    group.users.setStanding(standing.leave(before, { ...fact, membership: "leave" }, fact.pos, null));
  }
}

/** Ends what a `rooms.join` section says of its own user, whose events are reduced. `firstPos` is 0 when none was new. */
export function settleJoin(
  group: GroupDraft,
  batch: PollBatch,
  section: PolledJoin,
  room: RoomDraft,
  firstPos: StreamPos,
): void {
  const { userId } = batch;
  let current = group.users.standing(userId, room.nid);
  if (current?.membership !== "join") {
    const row = room.row("m.room.member", userId);
    // Others' pollers saw a newer leave: this one lags, and its next poll brings the leave too.
    if (isGone(row?.membership) && !batch.isFirstSync) return;
    const own = findOwnMember(section, userId);
    const isOwnJoin = row?.membership === "join";
    const pos = isOwnJoin ? row.pos : firstPos === 0 ? standing.OWN_POS : firstPos;
    const isOldStay = own?.prevMembership === "join";
    const ts = own === null || isOldStay ? 0 : own.ts;
    const fact = { membership: "join", sender: own?.sender ?? userId, ts, pos } as const;
    const earlier = isOldStay && row?.eventId === own.id ? joinedBefore(group, room, own.replacesState) : null;
    current = standing.join(current, userId, room.nid, fact, earlier ?? pos);
    group.users.setStanding(current);
  }
  setCounts(group, current, section);
}

/** Unread counts of a room that cannot be shown yet: they are there when it can. */
export function keepCounts(group: GroupDraft, userId: UserId, nid: RoomNid, counts: UnreadCounts): void {
  const current = group.users.standing(userId, nid);
  if (!standing.isPending(current?.membership)) setCounts(group, current ?? standing.noStanding(userId, nid), counts);
}

type UnreadCounts = Pick<PolledJoin, "notificationCount" | "highlightCount">;

function setCounts(group: GroupDraft, current: UserRoom, counts: UnreadCounts): void {
  const notificationCount = counts.notificationCount ?? current.notificationCount;
  const highlightCount = counts.highlightCount ?? current.highlightCount;
  if (notificationCount === current.notificationCount && highlightCount === current.highlightCount) return;
  group.users.setStanding({ ...current, notificationCount, highlightCount });
}

/** Where the join that a profile change replaced is stored; null when it is not. */
function joinedBefore(group: GroupDraft, room: RoomDraft, replaced: string | null): StreamPos | null {
  const event = replaced === null ? null : group.findEvent(replaced);
  return event?.nid === room.nid && event.membership === "join" ? event.pos : null;
}

/** The same for `rooms.leave`. A section without a member event of the user still says that the user is gone. */
export function settleLeave(
  group: GroupDraft,
  batch: PollBatch,
  section: PolledLeave,
  room: RoomDraft,
  firstPos: StreamPos,
): void {
  const { userId } = batch;
  const own = findOwnMember(section, userId);
  const row = room.row("m.room.member", userId);
  const current = group.users.standing(userId, room.nid);
  if (current !== null && isGone(current.membership)) {
    settleOutside(group, current, own, room);
    return releaseTyping(group, userId, room);
  }
  const membership = isGone(own?.membership) ? own.membership : isGone(row?.membership) ? row.membership : "leave";
  const sender = own?.sender ?? userId;
  if (current === null) {
    const pos = isGone(row?.membership) ? row.pos : standing.OWN_POS;
    const hasStay = firstPos !== 0 && row !== null && row.pos >= firstPos && wasInside(own, section);
    const seen = hasStay ? { joinPos: firstPos, leftPos: row.pos } : null;
    const fact = { membership, sender, ts: own?.ts ?? 0, pos };
    group.users.setStanding(standing.departed(userId, room.nid, fact, seen, own?.json ?? null));
    return;
  }
  // Others' pollers saw a newer join: this one lags, and its next poll brings the join too.
  if (row?.membership === "join" && own !== null && row.eventId !== own.id) return;
  // A row from before the invite is the end of something else.
  const pos = isGone(row?.membership) && row.pos > current.memberPos ? row.pos : standing.OWN_POS;
  const lastPos = pos === standing.OWN_POS ? group.head : pos;
  const fact = { membership, sender, ts: own?.ts ?? 0, pos };
  const ending = own?.json ?? (standing.isPending(current.membership) ? madeUpEnding(current, group) : null);
  group.users.setStanding(standing.leave(current, fact, lastPos, ending));
  releaseTyping(group, userId, room);
}

/** Of an invite from elsewhere that was rejected some homeservers only say that it is gone: clients learn it from an event. */
const madeUpEnding = ({ userId, nid, membership }: UserRoom, { context: { nowMs } }: GroupDraft): Uint8Array =>
  encoder.encode(
    JSON.stringify({
      type: "m.room.member",
      state_key: userId,
      sender: userId,
      event_id: `$left.${nowMs}.${nid}`,
      origin_server_ts: nowMs,
      content: { membership: "leave" },
      unsigned: { prev_content: { membership } },
    }),
  );

/** Something else became of who is outside: a kick became a ban, or a ban was lifted. Older news of lagging polls change nothing. */
function settleOutside(group: GroupDraft, current: UserRoom, own: EventFields | null, room: RoomDraft): void {
  if (own === null || !isGone(own.membership) || own.membership === current.membership) return;
  const row = room.row("m.room.member", current.userId);
  if (own.ts < current.joinTs || (row?.membership === "join" && row.eventId !== own.id)) return;
  if (group.isKnownEvent(room, own.id)) return;
  const fact = { membership: own.membership, sender: own.sender, ts: own.ts, pos: standing.OWN_POS };
  group.users.setStanding(standing.leave(current, fact, group.head, own.json));
}

/** Takes an invite or knock. */
export function settleStripped(group: GroupDraft, batch: PollBatch, section: PolledStripped, room: RoomDraft): void {
  const { userId } = batch;
  const { kind, stripped } = section;
  const current = group.users.standing(userId, room.nid);
  if (current?.membership === kind && sameBytes(current.stripped, stripped)) return;
  const own = findOwnStripped(stripped, userId);
  const sender = own?.sender ?? "";
  // Stripped events of most homeservers say nothing of when: an invite is as new as our first sight of it.
  const seenTs = current?.membership === kind && current.memberSender === sender ? current.joinTs : group.context.nowMs;
  const fact = {
    membership: kind,
    sender,
    ts: own === null || own.ts === 0 ? seenTs : own.ts,
    pos: standing.OWN_POS,
  } as const;
  const preview = { stripped, isDirect: own?.isDirect ?? false, lastPos: group.head };
  group.users.setStanding(standing.strip(current, userId, room.nid, fact, preview));
}

/** True when a section about a departure shows events of a stay, not only its refusal. */
function wasInside(own: EventFields | null, section: PolledLeave): boolean {
  return own?.prevMembership === "join" || section.timeline.length > 1;
}

/** Who is not in the room hears no more of who types there, and somebody else's poller says it. */
function releaseTyping(group: GroupDraft, userId: UserId, room: RoomDraft): void {
  const typing = group.typing.get(room.nid) ?? group.context.typing(room.nid);
  if (typing === undefined || typing.owner === null || !isPollerOf(typing.owner, userId)) return;
  group.typing.set(room.nid, { ...typing, owner: null });
}
