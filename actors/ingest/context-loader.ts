import type { EventFields } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PollBatch, PolledRoom } from "#src/protocol/poll-batch.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { IngestStore } from "#src/ports/stores.ts";
import { isContinuingChunk, type PolledChunk } from "#src/state/chunk.ts";
import { type IngestContext, pollerKey, standingKey, stateKeyOf } from "#src/state/ingest-context.ts";
import { isBareRoom } from "#src/state/room-meta-reducer.ts";
import { type ContextBase, GroupContext, type KnownChunk } from "./group-context.ts";
import type { IngestMemory } from "./ingest-memory.ts";
import { lateRooms, loadTails } from "./late-rooms.ts";
import { loadNamedEvents } from "./named-events.ts";
import { loadRows } from "./state-rows.ts";
import { loadSticky } from "./sticky-rooms.ts";

/** The part of the store that reading a context takes. */
export type ContextStore = Pick<
  IngestStore,
  | "loadRooms"
  | "loadRoomState"
  | "knownEvents"
  | "loadEvents"
  | "loadState"
  | "loadHeroEvents"
  | "loadUserRooms"
  | "knownUsers"
  | "loadSinces"
  | "loadTimelines"
  | "loadStays"
  | "loadStickyIds"
>;

/** One polled batch; `createdAfter` is a position that all of its continuing sections' events were stored after, if at all. */
export interface LoadableBatch {
  batch: PollBatch;
  createdAfter: StreamPos;
}

type StateKeyed = Pick<EventFields, "type" | "stateKey">;

/** Reads what a group of batches is reduced against: from memory, and what memory lacks in at most one query of each kind. */
export async function loadContext(
  store: ContextStore,
  memory: IngestMemory,
  batches: readonly LoadableBatch[],
  base: ContextBase,
): Promise<IngestContext> {
  const context = new GroupContext(memory, base);
  for (const { batch } of batches) {
    memory.users.set(batch.userId, true);
    context.polledAts.set(pollerKey(batch.userId, batch.deviceId), batch.polledAt ?? -1);
  }
  await loadRooms(store, memory, batches, context);
  if (batches.some(({ batch }) => batch.rooms.some(({ kind }) => kind === "snapshot"))) {
    await loadWholeRooms(store, batches, context);
  }
  const chunks = await loadStandingsAndEvents(store, memory, batches, context);
  const late = lateRooms(chunks, context);
  if (late.size > 0) await loadTails(store, late, context);
  await loadNamedEvents(store, chunks, context);
  const sticky = loadSticky(store, memory, chunks, context);
  if (sticky !== null) await sticky;
  await loadRows(store, memory, batches, chunks, context);
  return context;
}

async function loadRooms(
  store: ContextStore,
  memory: IngestMemory,
  batches: readonly LoadableBatch[],
  context: GroupContext,
): Promise<void> {
  const missing = new Set<RoomId>();
  for (const { batch } of batches) {
    for (const { roomId } of batch.rooms) {
      const meta = memory.rooms.get(roomId);
      if (meta === undefined) missing.add(roomId);
      else context.rooms.set(roomId, meta);
    }
  }
  if (missing.size === 0) return;
  for (const meta of await store.loadRooms([...missing])) {
    memory.rooms.set(meta.roomId, meta);
    context.rooms.set(meta.roomId, meta);
  }
}

/** Every row of the rooms that are compared with the homeserver; too many to be remembered. */
async function loadWholeRooms(
  store: ContextStore,
  batches: readonly LoadableBatch[],
  context: GroupContext,
): Promise<void> {
  const nids = new Set<RoomNid>();
  for (const { batch } of batches) {
    for (const section of batch.rooms) {
      const meta = section.kind === "snapshot" ? context.rooms.get(section.roomId) : undefined;
      if (meta !== undefined) nids.add(meta.nid);
    }
  }
  for (const nid of nids) {
    const rows = await store.loadRoomState(nid);
    context.roomRowsByNid.set(nid, rows);
    for (const row of rows) context.rows.set(stateKeyOf(nid, row.type, row.stateKey), row);
  }
}

/** True for what may be older than something stored: when its poll was made then tells. */
const hasPlace = (section: PolledRoom, context: GroupContext): boolean =>
  section.kind === "join" && (section.state.length > 0 || (context.room(section.roomId)?.seams.length ?? 0) > 0);

const isChunk = (section: PolledRoom): section is PolledChunk => section.kind === "join" || section.kind === "leave";

/** Which events, users and standings are known; returns the sections of rooms that are. */
async function loadStandingsAndEvents(
  store: ContextStore,
  memory: IngestMemory,
  batches: readonly LoadableBatch[],
  context: GroupContext,
): Promise<KnownChunk[]> {
  const chunks: KnownChunk[] = [];
  const events = new Set<EventId>();
  const users = new Set<string>();
  const standings = new Map<string, { userId: UserId; nid: RoomNid }>();
  const devices: { userId: UserId; deviceId: DeviceId }[] = [];

  const wantStanding = (userId: UserId, nid: RoomNid): UserRoom | null => {
    const key = standingKey(userId, nid);
    const known = memory.standings.get(key);
    if (known === undefined) standings.set(key, { userId, nid });
    else if (known !== null) context.standings.set(key, known);
    return known ?? null;
  };
  const wantMember = ({ type, stateKey }: StateKeyed, meta: RoomMeta | undefined): void => {
    if (type !== "m.room.member" || stateKey === null || !stateKey.startsWith("@")) return;
    const isKnown = memory.users.get(stateKey);
    if (isKnown === false) return;
    if (isKnown === true) context.users.add(stateKey);
    else users.add(stateKey);
    if (meta !== undefined) wantStanding(stateKey as UserId, meta.nid);
  };

  for (const { batch, createdAfter } of batches) {
    const { userId, deviceId, toDevice } = batch;
    const isResumed = memory.devices.get(pollerKey(userId, deviceId)) === undefined;
    const isRepeatable = isResumed && toDevice.length > 0 && batch.since !== null;
    const isPlaceless =
      !batch.isFirstSync &&
      context.polledAt(userId, deviceId) < 0 &&
      batch.rooms.some((section) => hasPlace(section, context));
    if (isRepeatable || isPlaceless) devices.push({ userId, deviceId });
    const isRecent = createdAfter >= memory.events.floor;
    for (const section of batch.rooms) {
      const meta = context.rooms.get(section.roomId);
      const standing = meta === undefined ? null : wantStanding(batch.userId, meta.nid);
      if (section.kind === "snapshot") {
        const rows = meta === undefined ? [] : context.roomRows(meta.nid);
        const current = new Set(rows.map(({ eventId }) => eventId));
        for (const row of rows) wantMember(row, meta);
        for (const event of section.state) {
          if (meta !== undefined && !current.has(event.id)) events.add(event.id);
          wantMember(event, meta);
        }
        for (const id of current) context.events.add(id as EventId);
      }
      if (!isChunk(section)) continue;
      const isStored = meta !== undefined && !isBareRoom(meta);
      if (isStored) chunks.push({ batch, section, meta });
      const isSurelyNew =
        isRecent && !section.limited && isContinuingChunk(section, batch.userId, batch.isFirstSync, standing);
      for (const list of [section.state, section.timeline]) {
        for (const event of list) {
          if (isStored && memory.events.has(event.id)) {
            context.events.add(event.id);
            if (!section.isStateAfter) continue;
          } else if (isStored && !isSurelyNew) events.add(event.id);
          wantMember(event, meta);
        }
      }
    }
  }

  const [knownEvents, knownUsers, userRooms, sinces] = await Promise.all([
    events.size === 0 ? [] : store.knownEvents([...events]),
    users.size === 0 ? [] : store.knownUsers([...users]),
    standings.size === 0 ? [] : store.loadUserRooms([...standings.values()]),
    devices.length === 0 ? [] : store.loadSinces(devices),
  ]);
  for (const { userId, deviceId, since, pos } of sinces) {
    const key = pollerKey(userId, deviceId);
    if (memory.devices.get(key) === undefined) context.sinces.set(key, since);
    if (context.polledAt(userId, deviceId) < 0) context.polledAts.set(key, pos);
  }
  for (const id of knownEvents) {
    context.events.add(id);
    memory.events.remember(id);
  }
  for (const userId of users) memory.users.set(userId, false);
  for (const userId of knownUsers) {
    memory.users.set(userId, true);
    context.users.add(userId);
  }
  for (const key of standings.keys()) memory.standings.set(key, null);
  for (const standing of userRooms) {
    const key = standingKey(standing.userId, standing.nid);
    memory.standings.set(key, standing);
    context.standings.set(key, standing);
  }
  return chunks;
}
