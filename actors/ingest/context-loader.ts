import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PollBatch, PolledRoom } from "#src/protocol/poll-batch.ts";
import { HERO_LIMIT, type RoomMeta, type UserRoom } from "#src/protocol/room-meta.ts";
import type { IngestStore } from "#src/ports/stores.ts";
import { isContinuingChunk, type PolledChunk } from "#src/state/chunk.ts";
import { needsBackfill } from "#src/state/heroes.ts";
import {
  type AwaitedEvent,
  type IngestContext,
  type KnownDeviceKeys,
  type KnownSticky,
  pollerKey,
  standingKey,
  stateKeyOf,
  type TypingState,
} from "#src/state/ingest-context.ts";
import type { StateRow } from "#src/state/ingest-transaction.ts";
import { isBareRoom } from "#src/state/room-meta-reducer.ts";
import type { IngestMemory } from "./ingest-memory.ts";
import { lateRooms, loadTails } from "./late-rooms.ts";
import { loadNamedEvents } from "./named-events.ts";
import { loadSticky } from "./sticky-rooms.ts";
import type { PollingDevices } from "./polling-devices.ts";

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

export interface ContextBase {
  head: StreamPos;
  maxRoomNid: number;
  nowMs: number;
  polling: PollingDevices;
}

type StateKeyed = Pick<EventFields, "type" | "stateKey">;

interface KnownChunk {
  batch: PollBatch;
  section: PolledChunk;
  meta: RoomMeta;
}

const NO_STICKY: ReadonlyMap<string, KnownSticky> = new Map();

/** The stored world as far as one group touches it. Everything in it was committed before the group. */
class GroupContext implements IngestContext {
  readonly head: StreamPos;
  readonly maxRoomNid: number;
  readonly nowMs: number;
  readonly rooms = new Map<RoomId, RoomMeta>();
  readonly events = new Set<EventId>();
  readonly storedEvents = new Map<string, StoredEvent>();
  readonly rows = new Map<string, StateRow>();
  readonly standings = new Map<string, UserRoom>();
  readonly users = new Set<string>();
  readonly heroes = new Map<RoomNid, StoredEvent[]>();
  readonly sinces = new Map<string, string>();
  readonly roomRowsByNid = new Map<RoomNid, StateRow[]>();
  readonly polledAts = new Map<string, StreamPos>();
  readonly tails = new Map<RoomNid, readonly StoredEvent[]>();
  readonly stickyEvents = new Map<RoomNid, ReadonlyMap<string, KnownSticky>>();
  readonly standingsInTails = new Map<RoomNid, UserRoom[]>();
  readonly #memory: IngestMemory;
  readonly #polling: PollingDevices;

  constructor(memory: IngestMemory, base: ContextBase) {
    this.#memory = memory;
    this.#polling = base.polling;
    this.head = base.head;
    this.maxRoomNid = base.maxRoomNid;
    this.nowMs = base.nowMs;
  }

  room(roomId: RoomId): RoomMeta | null {
    return this.rooms.get(roomId) ?? null;
  }

  isKnownEvent(eventId: EventId): boolean {
    return this.events.has(eventId);
  }

  storedEvent(eventId: string): StoredEvent | null {
    return this.storedEvents.get(eventId) ?? null;
  }

  stateRow(nid: RoomNid, type: string, stateKey: string): StateRow | null {
    return this.rows.get(stateKeyOf(nid, type, stateKey)) ?? null;
  }

  roomRows(nid: RoomNid): readonly StateRow[] {
    return this.roomRowsByNid.get(nid) ?? [];
  }

  polledAt(userId: UserId, deviceId: DeviceId): StreamPos {
    return this.polledAts.get(pollerKey(userId, deviceId)) ?? -1;
  }

  userRoom(userId: UserId, nid: RoomNid): UserRoom | null {
    return this.standings.get(standingKey(userId, nid)) ?? null;
  }

  tail(nid: RoomNid): readonly StoredEvent[] | null {
    return this.tails.get(nid) ?? null;
  }

  stays(nid: RoomNid): readonly UserRoom[] {
    return this.standingsInTails.get(nid) ?? [];
  }

  isKnownUser(userId: string): boolean {
    return this.users.has(userId);
  }

  heroEvents(nid: RoomNid): readonly StoredEvent[] {
    return this.heroes.get(nid) ?? [];
  }

  sticky(nid: RoomNid): ReadonlyMap<string, KnownSticky> {
    return this.stickyEvents.get(nid) ?? NO_STICKY;
  }

  receipt(key: string): { eventId: string; ts: number } | undefined {
    return this.#memory.receipts.get(key);
  }

  accountDataHash(key: string): string | undefined {
    return this.#memory.accountHashes.get(key);
  }

  deviceKeys(userId: UserId, deviceId: DeviceId): KnownDeviceKeys | undefined {
    return this.#memory.deviceKeys.get(pollerKey(userId, deviceId));
  }

  resumedSince(userId: UserId, deviceId: DeviceId): string | null {
    return this.sinces.get(pollerKey(userId, deviceId)) ?? null;
  }

  typing(nid: RoomNid): TypingState | undefined {
    return this.#memory.typing.get(nid);
  }

  pollingDevices(userId: string): ReadonlySet<DeviceId> {
    return this.#polling.of(userId, this.nowMs);
  }

  awaited(eventId: EventId): AwaitedEvent | null {
    return this.#memory.awaited.get(eventId) ?? null;
  }
}

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

/** Longer lists of known members are not compared with what is held. */
const DOUBTED_STATE = 500;

/** A known event in a state block: its row tells whether state moved back. In a first sync members are too many to look at. */
const isWorthDoubting = (section: PolledChunk, batch: PollBatch, event: EventFields): boolean =>
  section.kind === "join" &&
  (event.type !== "m.room.member" || (!batch.isFirstSync && section.state.length <= DOUBTED_STATE));

type ChangedMembers = Map<RoomNid, { meta: RoomMeta; userIds: Set<string> }>;

/** Adds the members on whom a snapshot and what is stored disagree. */
function noteSnapshotMembers(
  batches: readonly LoadableBatch[],
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
async function loadRows(
  store: ContextStore,
  memory: IngestMemory,
  batches: readonly LoadableBatch[],
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
