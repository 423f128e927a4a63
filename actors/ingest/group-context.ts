import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { PolledChunk } from "#src/state/chunk.ts";
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
import type { IngestMemory } from "./ingest-memory.ts";
import type { PollingDevices } from "./polling-devices.ts";

/** What a group brought to a room that is stored. */
export interface KnownChunk {
  batch: PollBatch;
  section: PolledChunk;
  meta: RoomMeta;
}

/** What a group begins from. */
export interface ContextBase {
  head: StreamPos;
  maxRoomNid: number;
  nowMs: number;
  polling: PollingDevices;
}

const NO_STICKY: ReadonlyMap<string, KnownSticky> = new Map();

/** The stored world as far as one group touches it. Everything in it was committed before the group. */
export class GroupContext implements IngestContext {
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
