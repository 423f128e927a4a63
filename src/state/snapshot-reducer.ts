import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import type { StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PollBatch, PolledForgotten, PolledGone, PolledSnapshot } from "#src/protocol/poll-batch.ts";
import type { GroupDraft } from "./group-draft.ts";
import { hasNul } from "./identifiers.ts";
import type { StateRow } from "./ingest-transaction.ts";
import type { RoomDraft } from "./room-draft.ts";
import * as standing from "./standing.ts";
import { settleByState, settleGone } from "./standing-repair.ts";

const MEMBER = "m.room.member";
const keyOf = (type: string, stateKey: string): string => `${type}\0${stateKey}`;

/**
 * Makes the state of a room what the homeserver says it is. What changed since the homeserver was asked is newer than its
 * answer and stays. Nothing is taken from a timeline: what a timeline brings was stored before.
 */
export function reduceSnapshot(group: GroupDraft, batch: PollBatch, section: PolledSnapshot): void {
  const listed = listState(section.state);
  if (!listed.has(keyOf("m.room.create", ""))) {
    const { roomId } = section;
    group.reject(batch, { roomId, section: "snapshot", reason: "state without a create event", sample: "" });
    return;
  }
  const room = group.room(section.roomId);
  const repair = new SnapshotRepair(group, section, room, listed);
  repair.run();
  const isStandingWrong = repair.settleStandings(batch.userId);
  // What is wrong with a user's standing alone is told to that user.
  if (repair.hasChanged || section.isForced || (isStandingWrong && room.wasBare)) group.repair(room);
}

/** The homeserver does not count the user among the members, whatever we thought. */
export function reduceGone(group: GroupDraft, batch: PollBatch, section: PolledGone): void {
  const room = group.findRoom(section.roomId);
  if (room === null || !settleGone(group, batch.userId, room, section.readAt)) return;
  group.repairedCount += 1;
}

/** Nothing of the room is the user's any more, the end of their stay included. One that they are in again by now stays. */
export function reduceForgotten(group: GroupDraft, batch: PollBatch, section: PolledForgotten): void {
  const room = group.findRoom(section.roomId);
  const before = room === null ? null : group.users.standing(batch.userId, room.nid);
  if (before === null) return;
  if (before.membership === "join") group.suspect(section.roomId, batch.userId, "forgotten");
  group.users.setStanding(standing.forget(before));
}

/** By type and key; the create event first, because it says what the others mean. */
function listState(state: readonly EventFields[]): Map<string, EventFields> {
  const usable = state.filter((event) => event.stateKey !== null && !hasNul(event));
  const create = usable.filter((event) => event.type === "m.room.create");
  return new Map([...create, ...usable].map((event) => [keyOf(event.type, event.stateKey ?? ""), event]));
}

class SnapshotRepair {
  readonly #group: GroupDraft;
  readonly #section: PolledSnapshot;
  readonly #room: RoomDraft;
  readonly #listed: ReadonlyMap<string, EventFields>;
  hasChanged = false;

  constructor(group: GroupDraft, section: PolledSnapshot, room: RoomDraft, listed: ReadonlyMap<string, EventFields>) {
    this.#group = group;
    this.#section = section;
    this.#room = room;
    this.#listed = listed;
  }

  /** Compares every row. */
  run(): void {
    for (const row of this.#section.isWhole ? [...this.#room.allRows()] : []) {
      if (this.#listed.has(keyOf(row.type, row.stateKey)) || this.#isNewer(row)) continue;
      this.#room.removeState(row);
      this.hasChanged = true;
    }
    for (const event of this.#listed.values()) this.#compare(event, event.stateKey ?? "");
    const counts = { join: 0, invite: 0 };
    for (const { type, membership } of this.#room.allRows()) {
      if (type === MEMBER && (membership === "join" || membership === "invite")) counts[membership] += 1;
    }
    const isMiscounted = this.#room.recount(counts.join, counts.invite);
    this.hasChanged ||= isMiscounted;
  }

  /** Users of ours whose standing is not what the state says; true when there are any. */
  settleStandings(reader: UserId): boolean {
    const members = new Map<string, StateRow | null>([[reader, null]]);
    for (const key of this.#listed.values()) if (key.type === MEMBER) members.set(key.stateKey ?? "", null);
    for (const row of this.#group.context.roomRows(this.#room.nid)) {
      if (row.type === MEMBER) members.set(row.stateKey, null);
    }
    for (const row of this.#room.allRows()) if (row.type === MEMBER) members.set(row.stateKey, row);
    let isWrong = false;
    for (const [userId, row] of members) {
      if (!this.#group.isKnownUser(userId)) continue;
      const event = this.#listed.get(keyOf(MEMBER, userId)) ?? null;
      const isSettled = settleByState(this.#group, userId as UserId, this.#room, row, event, this.#section.readAt);
      isWrong ||= isSettled;
    }
    return isWrong;
  }

  #isNewer(row: StateRow): boolean {
    return row.pos > this.#section.readAt;
  }

  #compare(event: EventFields, stateKey: string): void {
    const row = this.#room.row(event.type, stateKey);
    if (row !== null && this.#isNewer(row)) return;
    const isMember = event.type === MEMBER && stateKey !== "";
    if (row?.eventId === event.id && (!isMember || row.membership === (event.membership ?? "leave"))) {
      if (!isMember && this.#room.refreshMeta(event.type, stateKey, event.json, row.pos)) this.hasChanged = true;
      return;
    }
    const stored = this.#stored(event);
    this.#room.applyState(event, stateKey, stored.pos);
    this.#room.addState(stored);
    this.hasChanged = true;
  }

  /** An event that we have, and that is current again, has a position of its own for that. */
  #stored(event: EventFields): StoredEvent {
    const place = { inTimeline: false, gapBefore: false, prevBatch: null };
    if (!this.#group.isKnownEvent(this.#room, event.id)) return this.#group.store(this.#room, event, place);
    const pos: StreamPos = this.#group.nextPos();
    return { ...event, ...place, nid: this.#room.nid, txnId: null, pos };
  }
}
