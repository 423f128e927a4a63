import type { EventId, RoomNid } from "#src/protocol/ids.ts";
import type { PollBatch, PolledRoom } from "#src/protocol/poll-batch.ts";
import type { UpdateBatch } from "#src/protocol/update.ts";
import { DeviceDrafts, reduceDevice } from "./device-reducer.ts";
import { GroupDraft, type Suspicion } from "./group-draft.ts";
import type { AwaitedEvent, IngestContext, TypingState } from "./ingest-context.ts";
import type { IngestTransaction } from "./ingest-transaction.ts";
import { reduceRoom } from "./room-reducer.ts";

/** What a group of batches comes to. */
export interface Reduction {
  transaction: IngestTransaction;
  updates: UpdateBatch;
  /** To be remembered once the transaction is committed. */
  learned: {
    typing: ReadonlyMap<RoomNid, TypingState>;
    accountHashes: ReadonlyMap<string, string>;
    awaited: ReadonlyMap<EventId, AwaitedEvent | null>;
    maxRoomNid: number;
  };
  counts: { newEvents: number; knownEvents: number; rejected: number; repaired: number };
  /** Rooms to be compared with the homeserver. */
  suspicions: readonly Suspicion[];
}

/** Turns a group of polls into the one transaction that stores them and the updates that tell of it. Pure: throws on poison. */
export function reduceGroup(batches: readonly PollBatch[], context: IngestContext): Reduction {
  const group = new GroupDraft(context);
  const devices = new DeviceDrafts();
  for (const batch of batches) group.addPollingUser(batch.userId);
  for (const batch of batches) {
    for (const rejected of batch.rejected) group.reject(batch, rejected);
    for (const datum of batch.accountData) group.addAccountData(batch.userId, 0, datum);
    for (const section of inArrivalOrder(batch.rooms)) reduceRoom(group, batch, section);
    reduceDevice(group, batch, devices);
    if (batch.since !== null) reduceSince(group, batch, batch.since);
  }
  return finish(group, devices, batches);
}

/** Rooms of one poll come in no order; their newest events tell which should count as the most recent. */
function inArrivalOrder(rooms: readonly PolledRoom[]): readonly PolledRoom[] {
  if (rooms.length < 2) return rooms;
  const lastTs = (room: PolledRoom): number =>
    room.kind === "join" || room.kind === "leave" ? (room.timeline.at(-1)?.ts ?? 0) : Number.MAX_SAFE_INTEGER;
  return rooms
    .map((room) => ({ room, ts: lastTs(room) }))
    .sort((a, b) => a.ts - b.ts)
    .map(({ room }) => room);
}

function reduceSince(group: GroupDraft, batch: PollBatch, since: string): void {
  const { userId, deviceId } = batch;
  const { sinces } = group.tx;
  const earlier = sinces.findIndex((other) => other.userId === userId && other.deviceId === deviceId);
  if (earlier !== -1) sinces.splice(earlier, 1);
  sinces.push({
    userId,
    deviceId,
    since,
    pos: group.head,
    ...(batch.roomsAreDue === true ? { roomsAreDue: true } : {}),
  });
  if (batch.isFirstSync) group.users.update(userId).firstSyncDone.push(deviceId);
}

function finish(group: GroupDraft, devices: DeviceDrafts, batches: readonly PollBatch[]): Reduction {
  const { tx, context } = group;
  devices.finish(group);
  group.finishAccountData();
  group.ownEvents.finish(group.users);
  const receipts = group.finishReceipts();
  const redacted = group.finishRedactions();
  const awaited = group.users.finishStandings(tx, () => group.nextPos());
  const rooms: UpdateBatch["rooms"] = [];
  let maxRoomNid = context.maxRoomNid;
  for (const room of group.rooms) {
    maxRoomNid = Math.max(maxRoomNid, room.nid);
    for (const row of room.rows()) tx.state.push(row);
    const repair = tx.repairs.find(({ nid }) => nid === room.nid);
    if (repair !== undefined) repair.removed = room.removedKeys();
    const finished = room.finish(
      {
        receipts: receipts.get(room.nid) ?? [],
        redacted: redacted.get(room.nid) ?? [],
        sticky: group.sticky.finish(tx, room.nid),
      },
      group.head,
      awaited.has(room.nid),
    );
    if (finished === null) continue;
    rooms.push(finished.update);
    if (finished.isStored) tx.rooms.push({ meta: finished.update.meta, isNew: room.isNew });
  }
  tx.head = group.head;
  return {
    transaction: tx,
    updates: {
      fromPos: context.head,
      toPos: group.head,
      rooms,
      users: group.users.finish(),
      traceparent: batches.find((batch) => batch.traceparent !== null)?.traceparent ?? null,
    },
    learned: {
      typing: group.typing,
      accountHashes: group.accountHashes,
      awaited: group.ownEvents.learned,
      maxRoomNid,
    },
    counts: {
      newEvents: group.newEventCount,
      knownEvents: group.knownEventCount,
      rejected: group.rejectedCount,
      repaired: group.repairedCount,
    },
    suspicions: [...group.suspicions.values()],
  };
}

/** True when the transaction holds nothing but `since` tokens, which can wait for the next one. */
export function isOnlySinces(tx: IngestTransaction): boolean {
  return (
    tx.rooms.length === 0 &&
    tx.events.length === 0 &&
    tx.redacted.length === 0 &&
    tx.moved.length === 0 &&
    tx.state.length === 0 &&
    tx.repairs.length === 0 &&
    tx.userRooms.length === 0 &&
    tx.receipts.length === 0 &&
    tx.sticky.length === 0 &&
    tx.accountData.length === 0 &&
    tx.toDevice.length === 0 &&
    tx.deviceLists.length === 0 &&
    tx.deviceKeys.length === 0 &&
    tx.txns.length === 0 &&
    tx.quarantine.length === 0
  );
}
