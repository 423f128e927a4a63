import { expect } from "bun:test";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { RoomUpdate, UserUpdate } from "#src/protocol/update.ts";
import { reduceGroup, type Reduction } from "#src/state/ingest-reducer.ts";
import type { IngestTransaction, StateRow } from "#src/state/ingest-transaction.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import { loadContext } from "#actors/ingest/context-loader.ts";
import { IngestMemory } from "#actors/ingest/ingest-memory.ts";
import { PollingDevices } from "#actors/ingest/polling-devices.ts";
import { type FakeStores, makeFakeStores } from "./fake-stores.ts";

/** Every position a transaction uses, sorted. */
function positionsOf(tx: IngestTransaction): number[] {
  const lists = [
    tx.events,
    tx.userRooms,
    tx.receipts,
    tx.sticky,
    tx.accountData,
    tx.toDevice,
    tx.deviceLists,
    tx.deviceKeys,
    tx.repairs,
  ];
  return lists.flatMap((list) => list.map(({ pos }) => pos)).sort((a, b) => a - b);
}

/**
 * Fails unless a transaction stores every event once and takes every position of its span once, but those of healed state. Events that
 * move are stored once more, and may leave the positions that they were just given.
 */
export function checkTransaction(
  before: number,
  tx: IngestTransaction,
  isStored: (id: string, nid: number) => boolean,
  isRetold = false,
): void {
  const own = new Set(tx.events.map(({ id }) => id as string));
  const moved = new Set(tx.moved.map(({ id }) => id as string));
  expect(own.size).toBe(tx.events.length);
  expect(tx.events.filter(({ id, nid }) => isStored(id, nid) && !moved.has(id))).toEqual([]);
  const healed = tx.state.filter(({ eventId }) => !own.has(eventId)).map(({ pos }) => pos);
  const positions = [...positionsOf(tx), ...healed].sort((a, b) => a - b);
  if (isRetold) {
    expect(new Set(positions).size).toBe(positions.length);
    expect(positions.every((pos) => pos > before && pos <= tx.head)).toBe(true);
  } else expect(positions).toEqual(Array.from({ length: tx.head - before }, (_, index) => before + index + 1));
}

/** The pure core with a store in memory: batches go in group by group, every group is checked. */
export class IngestWorld {
  readonly stores: FakeStores = makeFakeStores();
  memory = new IngestMemory(0);
  /** Where the stream stood when any device's previous poll was answered. */
  polledAt = -1;
  readonly polling = new PollingDevices();
  #maxRoomNid = 0;

  get head(): number {
    return this.stores.db.head;
  }

  /** Forgets what is remembered of the database, as a restart does. */
  restart(): void {
    this.memory = new IngestMemory(this.head);
  }

  async apply(...batches: PollBatch[]): Promise<Reduction> {
    const { head } = this;
    for (const { userId, deviceId } of batches) this.polling.heard(userId, deviceId, 0);
    const { polledAt } = this;
    const told = (batch: PollBatch): PollBatch => (polledAt < 0 ? batch : { polledAt, ...batch });
    const loadable = batches.map((batch) => ({ batch: told(batch), createdAfter: -1 }));
    const base = { head, maxRoomNid: this.#maxRoomNid, nowMs: 0, polling: this.polling };
    const context = await loadContext(this.stores.ingest, this.memory, loadable, base);
    const reduction = reduceGroup(batches, context);
    const isStored = (id: string, nid: number): boolean => this.stores.db.eventsById.get(id)?.nid === nid;
    const isRetold = reduction.updates.rooms.some(({ retoldFrom }) => retoldFrom !== null);
    checkTransaction(head, reduction.transaction, isStored, isRetold);
    await this.stores.ingest.commit(reduction.transaction);
    this.memory.learn(reduction);
    this.#maxRoomNid = reduction.learned.maxRoomNid;
    return reduction;
  }

  findMeta(roomId: string): RoomMeta | undefined {
    return [...this.stores.db.rooms.values()].find((meta) => meta.roomId === roomId);
  }

  meta(roomId: string): RoomMeta {
    const meta = this.findMeta(roomId);
    if (meta === undefined) throw new Error(`no room ${roomId}`);
    return meta;
  }

  findStanding(userId: string, roomId: string): UserRoom | undefined {
    const nid = this.findMeta(roomId)?.nid;
    return [...this.stores.db.userRooms.values()].find((row) => row.userId === userId && row.nid === nid);
  }

  standing(userId: string, roomId: string): UserRoom {
    const standing = this.findStanding(userId, roomId);
    if (standing === undefined) throw new Error(`no standing of ${userId} in ${roomId}`);
    return standing;
  }

  event(id: string): StoredEvent {
    const event = this.stores.db.eventsById.get(id);
    if (event === undefined) throw new Error(`no event ${id}`);
    return event;
  }

  /** Ids of stored timeline events of a room, in stream order. */
  timeline(roomId: string): string[] {
    const { nid } = this.meta(roomId);
    return [...this.stores.db.events.values()]
      .filter((event) => event.nid === nid && event.inTimeline)
      .sort((a, b) => a.pos - b.pos)
      .map(({ id }) => id);
  }

  current(roomId: string, type: string, stateKey = ""): StateRow | undefined {
    const { nid } = this.meta(roomId);
    return [...this.stores.db.state.values()].find(
      (row) => row.nid === nid && row.type === type && row.stateKey === stateKey,
    );
  }
}

/** The update of a room in a reduction. */
export function roomUpdate(reduction: Reduction, roomId: string): RoomUpdate {
  const update = reduction.updates.rooms.find((room) => room.roomId === roomId);
  if (update === undefined) throw new Error(`no update of ${roomId}`);
  return update;
}

/** The update of a user in a reduction. */
export function userUpdate(reduction: Reduction, userId: string): UserUpdate {
  const update = reduction.updates.users.find((user) => user.userId === userId);
  if (update === undefined) throw new Error(`no update of ${userId}`);
  return update;
}
