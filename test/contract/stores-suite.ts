import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { RepairStore } from "#src/ports/repair.ts";
import type { ConnectionStore, DeviceStore, IngestStore, RoomReader } from "#src/ports/stores.ts";
import { storedEvent, transaction } from "#test/support/stored-samples.ts";

/** The stores under test, over an empty database. */
export interface StoresUnderTest {
  ingest: IngestStore;
  rooms: RoomReader;
  connections: ConnectionStore;
  devices: DeviceStore;
  repair: RepairStore;
  /** What the clock of the stores shows. */
  setNow(nowMs: number): void;
  close(): Promise<void>;
}

export const ALICE = "@alice:example.org" as UserId;
export const BOB = "@bob:example.org" as UserId;
export const PHONE = "PHONE" as DeviceId;
export const room = (nid: number): RoomNid => nid as RoomNid;
export const ids = (events: readonly StoredEvent[]): string[] => events.map(({ id }) => id);
export const member = (nid: number, pos: number, userId: string, overrides: Partial<StoredEvent> = {}): StoredEvent =>
  storedEvent(nid, pos, { type: "m.room.member", stateKey: userId, sender: userId, membership: "join", ...overrides });

/** What all tests of one implementation share: they use rooms of their own. */
export class StoresSuite {
  stores!: StoresUnderTest;
  /** Highest position committed. */
  head = 0;

  async open(opening: Promise<StoresUnderTest>): Promise<void> {
    this.stores = await opening;
    this.head = (await this.stores.ingest.loadHead()).head;
  }

  /** Commits `count` positions; returns the first of them. */
  async commit(count: number, parts: (first: number) => Parameters<typeof transaction>[1]): Promise<number> {
    const first = this.head + 1;
    this.head += count;
    await this.stores.ingest.commit(transaction(this.head, parts(first)));
    return first;
  }
}
