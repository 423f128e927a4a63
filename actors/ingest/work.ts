import type { PollBatch, PolledRoom, Rejected } from "#src/protocol/poll-batch.ts";
import type { Reply } from "#actors/runtime/actor.ts";
import type { BatchApplied } from "./messages.ts";

/** A poller that waits for its batch, which may be worked off in several parts. */
export interface Waiter {
  reply: Reply<BatchApplied>;
  openParts: number;
  arrivedMs: number;
}

/** What became of one batch with a `since`. */
export interface DeliveryRecord {
  isStored: boolean;
  /** The poller has not heard of its end, or so late that it may have given up on it. */
  isDoubtful: boolean;
  /** Hashes of its to-device messages, once it is stored. */
  toDevice: string[];
}

/** One batch, or a part of one that failed as a whole. */
export interface Work {
  batch: PollBatch;
  poller: string;
  waiter: Waiter;
  /** Bytes and events, for the bounds of a group. */
  bytes: number;
  events: number;
  /** Reduced and committed alone, to find out what is wrong with it. */
  isAlone: boolean;
  /** The record of this batch, and of the one before when the poller may be repeating it. */
  record: DeliveryRecord;
  repeats: DeliveryRecord | null;
  /** What this quarantine record stands in for. */
  replaces: Work | null;
  /** How often even its quarantine record was refused. */
  refusals: number;
}

/** A piece of a large first sync, which waits for live traffic. */
export const isBulk = (work: Work): boolean => work.batch.isFirstSync && work.batch.hasSyncedBefore !== true;

/** Events in a batch, those of state blocks included. */
export function countEvents(rooms: readonly PolledRoom[]): number {
  let count = 0;
  for (const room of rooms) {
    if (room.kind === "join" || room.kind === "leave") count += room.state.length + room.timeline.length;
    else if (room.kind === "snapshot") count += room.state.length;
  }
  return count;
}

const withoutContent = (batch: PollBatch): PollBatch => ({
  ...batch,
  since: null,
  toDevice: [],
  deviceListsChanged: [],
  deviceListsLeft: [],
  otkCounts: null,
  fallbackKeyTypes: null,
  accountData: [],
  rooms: [],
  rejected: [],
});

/**
 * Cuts a batch that failed in two, rooms apart from what concerns the device; null when it cannot be cut further. `since` goes
 * with the last part, so that nothing is taken for stored before it is.
 */
export function splitBatch(batch: PollBatch): [PollBatch, PollBatch] | null {
  const { rooms, accountData, toDevice, deviceListsChanged, deviceListsLeft } = batch;
  if (rooms.length > 0) {
    const base = { ...batch, rooms: [] };
    if (hasContent(base)) return [{ ...withoutContent(batch), rooms }, base];
    return halves(rooms, (some) => ({ rooms: some }), batch);
  }
  const head = withoutContent(batch);
  if (batch.rejected.length > 0)
    return [
      { ...batch, since: null, rejected: [] },
      { ...head, since: batch.since },
    ];
  if (accountData.length > 0) {
    const base = { ...batch, accountData: [] };
    if (hasContent(base)) return [{ ...head, accountData }, base];
    return halves(accountData, (some) => ({ accountData: some }), batch);
  }
  if (toDevice.length > 0) {
    const base = { ...batch, toDevice: [] };
    if (hasContent(base)) return [{ ...head, toDevice }, base];
    return halves(toDevice, (some) => ({ toDevice: some }), batch);
  }
  const hasDeviceData = deviceListsChanged.length + deviceListsLeft.length > 0;
  const hasKeys = batch.otkCounts !== null || batch.fallbackKeyTypes !== null;
  if (hasDeviceData && (hasKeys || batch.since !== null)) {
    return [
      { ...head, deviceListsChanged, deviceListsLeft },
      { ...batch, deviceListsChanged: [], deviceListsLeft: [] },
    ];
  }
  if (hasKeys && batch.since !== null)
    return [
      { ...batch, since: null },
      { ...head, since: batch.since },
    ];
  return null;
}

function hasContent(batch: PollBatch): boolean {
  return (
    batch.since !== null ||
    batch.rooms.length > 0 ||
    batch.toDevice.length > 0 ||
    batch.accountData.length > 0 ||
    batch.deviceListsChanged.length > 0 ||
    batch.deviceListsLeft.length > 0 ||
    batch.otkCounts !== null ||
    batch.fallbackKeyTypes !== null ||
    batch.rejected.length > 0
  );
}

function halves<T>(
  items: readonly T[],
  toPart: (items: T[]) => Partial<PollBatch>,
  batch: PollBatch,
): [PollBatch, PollBatch] | null {
  if (items.length < 2) return null;
  const middle = items.length >> 1;
  return [
    { ...withoutContent(batch), ...toPart(items.slice(0, middle)) },
    { ...withoutContent(batch), ...toPart(items.slice(middle)) },
  ];
}

/** At most this much of what was given up is kept for inspection. */
const SAMPLE_BYTES = 2048;

/** What takes the place of a part that cannot be stored; null when that was such a replacement already. */
export function quarantined(batch: PollBatch, reason: string): PollBatch | null {
  const [room] = batch.rooms;
  const [message] = batch.toDevice;
  const [datum] = batch.accountData;
  const section = sectionOf(batch);
  if (section === null) return null;
  const sample = room === undefined ? (message?.json ?? datum?.json) : sampleOf(room);
  const rejected: Rejected = {
    roomId: room?.roomId.replaceAll("\0", "\uFFFD") ?? null,
    section,
    reason,
    sample: sample?.subarray(0, SAMPLE_BYTES).toBase64() ?? "",
  };
  return { ...withoutContent(batch), since: batch.since, rejected: [rejected] };
}

function sectionOf(batch: PollBatch): string | null {
  const [room] = batch.rooms;
  if (room !== undefined) return room.kind;
  if (batch.toDevice.length > 0) return "to_device";
  if (batch.accountData.length > 0) return "account_data";
  if (batch.deviceListsChanged.length + batch.deviceListsLeft.length > 0) return "device_lists";
  if (batch.otkCounts !== null || batch.fallbackKeyTypes !== null) return "device_keys";
  return null;
}

function sampleOf(room: PolledRoom): Uint8Array | undefined {
  if (room.kind === "join" || room.kind === "leave") return (room.timeline[0] ?? room.state[0])?.json;
  if (room.kind === "snapshot") return room.state[0]?.json;
  return room.kind === "gone" || room.kind === "forgotten" ? undefined : room.stripped;
}
