import { SyncError, invariant } from "#src/errors.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { StoredReceipt } from "#src/protocol/update.ts";
import type { RepairRequest } from "#src/ports/repair.ts";
import type { IngestTransaction, StateRow, StoredConnection, TimelineChunk, TimelineQuery } from "#src/ports/stores.ts";

/** A key of several parts. */
export const keyOf = (...parts: readonly (string | number | boolean)[]): string => JSON.stringify(parts);
export const byPos = (a: { pos: number }, b: { pos: number }): number => a.pos - b.pos;

/** A token as it is kept; `order` grows with every proof. */
export interface FakeToken {
  accessToken: string;
  userId: UserId;
  deviceId: DeviceId;
  lastSeenMs: number;
  order: number;
}

interface FakeDevice {
  userId: UserId;
  deviceId: DeviceId;
  since: string | null;
  /** Where the stream stood then. */
  pos?: StreamPos;
  /** As in the database; absent for null. */
  tokenlessMs?: number;
  roomsAreDue?: boolean;
  pausedMs?: number | null;
}

/** What the fakes share, open to tests. */
export class FakeDatabase {
  head: StreamPos = 0;
  readonly epoch: string = "fake-epoch";
  /** While true, every call rejects as when the database is down. */
  isDown = false;
  /** Every transaction that was committed. */
  readonly commits: IngestTransaction[] = [];
  readonly rooms = new Map<RoomNid, RoomMeta>();
  readonly events = new Map<StreamPos, StoredEvent>();
  readonly eventsById = new Map<string, StoredEvent>();
  readonly state = new Map<string, StateRow>();
  readonly userRooms = new Map<string, UserRoom>();
  readonly receipts = new Map<string, StoredReceipt>();
  readonly sticky = new Map<string, StickyEvent>();
  readonly accountData = new Map<string, IngestTransaction["accountData"][number]>();
  toDevice: IngestTransaction["toDevice"] = [];
  /** Up to where changes were deleted that somebody may not have, by user and device. */
  readonly deviceListsFrom = new Map<string, number>();
  readonly deviceLists = new Map<string, IngestTransaction["deviceLists"][number]>();
  readonly deviceKeys = new Map<string, IngestTransaction["deviceKeys"][number] & { fallbackPos: StreamPos }>();
  readonly txns = new Map<string, IngestTransaction["txns"][number]>();
  readonly quarantine: IngestTransaction["quarantine"] = [];
  readonly devices = new Map<string, FakeDevice>();
  readonly tokens = new Map<string, FakeToken>();
  readonly filters = new Map<string, string>();
  readonly connections = new Map<string, StoredConnection>();
  readonly repairWatchers: (() => void)[] = [];
  readonly repairs = new Map<number, RepairRequest & { endedMs: number | null }>();

  /** Gives way once, as a real database would, then fails if it is meant to be down. */
  async reach(): Promise<void> {
    await Promise.resolve();
    if (this.isDown) throw new SyncError("storage_unavailable", "the fake database is down");
  }

  eventOf(row: StateRow): StoredEvent {
    const event = this.eventsById.get(row.eventId);
    invariant(event !== undefined, `the event of state row ${row.type} is stored`);
    return event;
  }
}

/** Newest events of timelines, as both stores read them. */
export async function loadFakeTimelines(db: FakeDatabase, queries: readonly TimelineQuery[]): Promise<TimelineChunk[]> {
  await db.reach();
  const byRoom = Map.groupBy(db.events.values(), (event) => event.nid);
  return queries.map(({ nid, upTo, limit }) => {
    const all = (byRoom.get(nid) ?? []).filter((event) => event.inTimeline && event.pos <= upTo).sort(byPos);
    const gap = all.findLastIndex((event) => event.gapBefore);
    const contiguous = gap === -1 ? all : all.slice(gap);
    const events = limit === 0 ? [] : contiguous.slice(-limit);
    return { nid, events, hasMore: contiguous.length > events.length };
  });
}
