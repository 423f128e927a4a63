import type { StoredEvent } from "#src/protocol/events.ts";
import type { RoomData, TimelineTail } from "#src/protocol/engine/room-data.ts";
import type { DeviceId, RoomNid, StreamPos } from "#src/protocol/ids.ts";
import type { StateSelection } from "#src/protocol/required-state.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { StoredReceipt } from "#src/protocol/update.ts";
import type { RoomDirectory } from "#actors/directory/room-directory.ts";
import type { LiveUser } from "#actors/user/live-user.ts";

const NO_TAIL: TimelineTail = { events: [], coversFrom: 0, isComplete: true };

/** What a connection reads of rooms, from the memory of its host. */
export class ConnectionData implements RoomData {
  readonly #directory: RoomDirectory;
  readonly #user: LiveUser;
  readonly #deviceId: DeviceId;
  readonly nowMs: number;
  readonly #changes = new Map<RoomNid, readonly StoredEvent[]>();

  constructor(directory: RoomDirectory, user: LiveUser, deviceId: DeviceId, nowMs: number) {
    this.nowMs = nowMs;
    this.#directory = directory;
    this.#user = user;
    this.#deviceId = deviceId;
  }

  tail(nid: RoomNid): TimelineTail {
    return this.#directory.room(nid)?.tail ?? NO_TAIL;
  }

  state(nid: RoomNid, selection: StateSelection): StoredEvent[] {
    return this.#directory.room(nid)?.state(selection) ?? [];
  }

  member(nid: RoomNid, userId: string): StoredEvent | null {
    return this.#directory.room(nid)?.member(userId) ?? null;
  }

  receipts(nid: RoomNid, eventIds: ReadonlySet<string>, userId: string): StoredReceipt[] {
    return this.#receipts(
      nid,
      (receipt) => receipt.userId === userId || (!receipt.isPrivate && eventIds.has(receipt.eventId)),
    );
  }

  receiptsAfter(nid: RoomNid, after: StreamPos, userId: string): StoredReceipt[] {
    return this.#receipts(nid, (receipt) => receipt.pos > after && (!receipt.isPrivate || receipt.userId === userId));
  }

  /** Takes what storage says of the rooms' state since a position. */
  addChanges(needs: readonly { nid: RoomNid }[], events: readonly StoredEvent[]): void {
    const byRoom = Map.groupBy(events, (event) => event.nid);
    for (const { nid } of needs) this.#changes.set(nid, byRoom.get(nid) ?? []);
  }

  changes(nid: RoomNid): readonly StoredEvent[] | null {
    return this.#changes.get(nid) ?? null;
  }

  typing(nid: RoomNid): { json: Uint8Array; userIds: readonly string[] } | null {
    return this.#directory.typing.of(nid);
  }

  accountData(nid: RoomNid | 0, after: StreamPos): Uint8Array[] {
    return this.#user.accountData(nid, after);
  }

  sticky(nid: RoomNid): readonly StickyEvent[] {
    return this.#directory.room(nid)?.sticky(this.nowMs) ?? [];
  }

  stickyTtlMs(nid: RoomNid, eventId: string): number | null {
    const untilMs = this.#directory.room(nid)?.stickyUntil(eventId) ?? null;
    return untilMs === null || untilMs <= this.nowMs ? null : untilMs - this.nowMs;
  }

  txnId(eventId: string): string | null {
    return this.#user.txnId(this.#deviceId, eventId);
  }

  #receipts(nid: RoomNid, matches: (receipt: StoredReceipt) => boolean): StoredReceipt[] {
    return this.#directory.room(nid)?.receipts(matches) ?? [];
  }
}
