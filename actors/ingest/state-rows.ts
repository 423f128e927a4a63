import type { EventFields } from "#src/protocol/events.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import { HERO_LIMIT, type RoomMeta } from "#src/protocol/room-meta.ts";
import type { IngestStore } from "#src/ports/stores.ts";
import type { PolledChunk } from "#src/state/chunk.ts";
import { needsBackfill } from "#src/state/heroes.ts";
import { stateKeyOf } from "#src/state/ingest-context.ts";
import type { GroupContext, KnownChunk } from "./group-context.ts";
import type { IngestMemory } from "./ingest-memory.ts";

/** Longer lists of known members are not compared with what is held. */
const DOUBTED_STATE = 500;

/** A known event in a state block: its row tells whether state moved back. In a first sync members are too many to look at. */
const isWorthDoubting = (section: PolledChunk, batch: PollBatch, event: EventFields): boolean =>
  section.kind === "join" &&
  (event.type !== "m.room.member" || (!batch.isFirstSync && section.state.length <= DOUBTED_STATE));

type ChangedMembers = Map<RoomNid, { meta: RoomMeta; userIds: Set<string> }>;

/** Adds the members on whom a snapshot and what is stored disagree. */
function noteSnapshotMembers(
  batches: readonly { batch: PollBatch }[],
  context: GroupContext,
  changedMembers: ChangedMembers,
): void {
  for (const { batch } of batches) {
    for (const section of batch.rooms) {
      const meta = section.kind === "snapshot" ? context.rooms.get(section.roomId) : undefined;
      if (section.kind !== "snapshot" || meta === undefined) continue;
      const differing = new Map(
        context
          .roomRows(meta.nid)
          .flatMap((row) => (row.type === "m.room.member" ? [[row.stateKey, row.eventId]] : [])),
      );
      for (const { type, stateKey, id } of section.state) {
        if (type !== "m.room.member" || stateKey === null) continue;
        if (differing.get(stateKey) === id) differing.delete(stateKey);
        else differing.set(stateKey, id);
      }
      const changed = changedMembers.get(meta.nid) ?? { meta, userIds: new Set<string>() };
      for (const userId of differing.keys()) changed.userIds.add(userId);
      changedMembers.set(meta.nid, changed);
    }
  }
}

/** Current state that the sections may change, and members to stand in for heroes that leave. */
export async function loadRows(
  store: Pick<IngestStore, "loadState" | "loadHeroEvents">,
  memory: IngestMemory,
  batches: readonly { batch: PollBatch }[],
  chunks: readonly KnownChunk[],
  context: GroupContext,
): Promise<void> {
  const keys = new Map<string, { nid: RoomNid; type: string; stateKey: string }>();
  const changedMembers: ChangedMembers = new Map();

  const wantRow = (nid: RoomNid, type: string, stateKey: string): void => {
    const key = stateKeyOf(nid, type, stateKey);
    const known = memory.rows.get(key);
    if (known === undefined) keys.set(key, { nid, type, stateKey });
    else if (known !== null) context.rows.set(key, known);
  };

  for (const { batch, section, meta } of chunks) {
    const standing = context.userRoom(batch.userId, meta.nid);
    if (standing?.membership !== "join" || section.kind === "leave") wantRow(meta.nid, "m.room.member", batch.userId);
    for (const list of [section.state, section.timeline]) {
      for (const event of list) {
        if (event.stateKey === null) continue;
        if (!section.isStateAfter && context.isKnownEvent(event.id)) {
          if (list === section.state && isWorthDoubting(section, batch, event))
            wantRow(meta.nid, event.type, event.stateKey);
          continue;
        }
        wantRow(meta.nid, event.type, event.stateKey);
        if (event.type !== "m.room.member") continue;
        const changed = changedMembers.get(meta.nid) ?? { meta, userIds: new Set() };
        changed.userIds.add(event.stateKey);
        changedMembers.set(meta.nid, changed);
      }
    }
  }

  for (const { nid, type, stateKey } of [...context.storedEvents.values(), ...[...context.tails.values()].flat()]) {
    if (stateKey !== null) wantRow(nid, type, stateKey);
  }

  noteSnapshotMembers(batches, context, changedMembers);
  const heroRooms: RoomNid[] = [];
  let changedCount = 0;
  for (const { meta, userIds } of changedMembers.values()) {
    if (!needsBackfill(meta, (userId) => userIds.has(userId))) continue;
    heroRooms.push(meta.nid);
    changedCount = Math.max(changedCount, userIds.size);
  }

  const [rows, heroes] = await Promise.all([
    keys.size === 0 ? [] : store.loadState([...keys.values()]),
    // Whoever changed is no longer at its stored place: that many more are read.
    heroRooms.length === 0 ? [] : store.loadHeroEvents(heroRooms, HERO_LIMIT + changedCount),
  ]);
  for (const key of keys.keys()) memory.rows.set(key, null);
  for (const row of rows) {
    const key = stateKeyOf(row.nid, row.type, row.stateKey);
    memory.rows.set(key, row);
    context.rows.set(key, row);
  }
  for (const event of heroes) {
    const room = context.heroes.get(event.nid);
    if (room === undefined) context.heroes.set(event.nid, [event]);
    else room.push(event);
  }
}
