import type { UserId } from "#src/protocol/ids.ts";
import type { PollBatch, PolledJoin, PolledLeave, PolledRoom, PolledStripped } from "#src/protocol/poll-batch.ts";
import { hashBytes } from "./bytes.ts";
import { findOwnMember, isCreate, stayOf } from "./chunk.ts";
import { ChunkReduction } from "./chunk-reduction.ts";
import type { GroupDraft } from "./group-draft.ts";
import { hasNul } from "./identifiers.ts";
import { pollerKey } from "./ingest-context.ts";
import type { RoomDraft } from "./room-draft.ts";
import { reduceForgotten, reduceGone, reduceSnapshot } from "./snapshot-reducer.ts";
import { keepCounts, settleJoin, settleLeave, settleStripped } from "./standing-reducer.ts";

/** Reduces one room section of a poll. */
export function reduceRoom(group: GroupDraft, batch: PollBatch, section: PolledRoom): void {
  switch (section.kind) {
    case "join":
      return reduceJoin(group, batch, section);
    case "leave":
      return reduceLeave(group, batch, section);
    case "invite":
    case "knock":
      return reduceStripped(group, batch, section);
    case "snapshot":
      return reduceSnapshot(group, batch, section);
    case "gone":
      return reduceGone(group, batch, section);
    case "forgotten":
      return reduceForgotten(group, batch, section);
  }
}

function reduceJoin(group: GroupDraft, batch: PollBatch, section: PolledJoin): void {
  const hasEvents = section.state.length > 0 || section.timeline.length > 0;
  const room = group.room(section.roomId);
  for (const receipt of section.receipts) group.addReceipt(room.nid, receipt);
  for (const datum of section.accountData) group.addAccountData(batch.userId, room.nid, datum);
  const isShown = !isUnseen(group, batch, section, room);
  const hasChunk = isShown && (hasEvents || section.limited);
  const firstPos = hasChunk ? new ChunkReduction(group, batch, section, room).run() : 0;
  reduceSticky(group, batch, section, room);
  if (!isShown) return keepCounts(group, batch.userId, room.nid, section);
  reduceTyping(group, batch, section, room);
  settleJoin(group, batch, section, room, firstPos);
}

function reduceLeave(group: GroupDraft, batch: PollBatch, section: PolledLeave): void {
  const known = group.findRoom(section.roomId);
  const timeline = stayOf(section, batch.userId, known && group.users.standing(batch.userId, known.nid));
  const room = known ?? (timeline === null && !isSentAway(section, batch.userId) ? null : group.room(section.roomId));
  if (room === null) return;
  const firstPos = timeline === null ? 0 : new ChunkReduction(group, batch, { ...section, timeline }, room).run();
  for (const datum of section.accountData) group.addAccountData(batch.userId, room.nid, datum);
  settleLeave(group, batch, section, room, firstPos);
}

/** Others say that the user is out: that is told, even of a room of which nothing else is known. */
function isSentAway(section: PolledLeave, userId: UserId): boolean {
  const own = findOwnMember(section, userId);
  return own !== null && (own.membership === "ban" || (own.membership === "leave" && own.sender !== userId));
}

/**
 * The first word of a room without any event, or with state and without the event that made it, is no room that can be shown: it is
 * read whole from the homeserver.
 */
function isUnseen(group: GroupDraft, batch: PollBatch, section: PolledJoin, room: RoomDraft): boolean {
  const { roomId, state, timeline } = section;
  if (!room.isBare || state.some(isCreate) || timeline.some(isCreate)) return false;
  if (state.length > 0) {
    group.reject(batch, { roomId, section: "join.state", reason: "state without a create event", sample: "" });
    group.suspect(roomId, batch.userId, "no-create");
    return true;
  }
  if (timeline.length > 0) return false;
  group.suspect(roomId, batch.userId, "no-events");
  return true;
}

function reduceStripped(group: GroupDraft, batch: PollBatch, section: PolledStripped): void {
  settleStripped(group, batch, section, group.room(section.roomId));
}

/** Events are sticky whether or not their place in the timeline is known, or shown. */
function reduceSticky(group: GroupDraft, batch: PollBatch, section: PolledJoin, room: RoomDraft): void {
  for (const list of [section.sticky ?? [], section.timeline]) {
    for (const event of list) {
      if (event.sticky === undefined || room.awaitedRedactions.some(([target]) => target === event.id)) continue;
      const fault = hasNul(event) ? "NUL in an identifier" : group.sticky.add(room.nid, event, event.sticky);
      if (fault === null || list === section.timeline) continue;
      group.reject(batch, { roomId: section.roomId, section: "join.msc4354_sticky", reason: fault, sample: "" });
    }
  }
}

/** The first poller that reports typing in a room speaks for it until it stops: several would contradict each other. */
function reduceTyping(group: GroupDraft, batch: PollBatch, section: PolledJoin, room: RoomDraft): void {
  if (section.typing === null) return;
  const reporter = pollerKey(batch.userId, batch.deviceId);
  const known = group.typing.get(room.nid) ?? group.context.typing(room.nid);
  if (known !== undefined && known.owner !== null && known.owner !== reporter) return;
  const hash = hashBytes(section.typing.json);
  if (known?.owner === reporter && known.hash === hash) return;
  // A copy: it is remembered for longer than the poll.
  const typing = { json: section.typing.json.slice(), userIds: section.typing.userIds };
  group.typing.set(room.nid, { owner: reporter, hash, typing });
  if (known?.hash !== hash) room.typing = section.typing;
}
