import type { EventId, RoomId, RoomNid, StreamPos } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import {
  type AwaitedEvent,
  type KnownDeviceKeys,
  type KnownSticky,
  pollerKey,
  receiptKey,
  standingKey,
  stateKeyOf,
  type TypingState,
} from "#src/state/ingest-context.ts";
import type { Reduction } from "#src/state/ingest-reducer.ts";
import type { StateRow } from "#src/state/ingest-transaction.ts";
import type { TypingRecalled } from "./messages.ts";
import { EventLog } from "./event-log.ts";
import { GenerationalCache } from "./generational-cache.ts";

/** Entries; all together some tens of MB when full. */
const LIMITS = {
  rooms: 20_000,
  events: 100_000,
  rows: 50_000,
  standings: 50_000,
  users: 50_000,
  receipts: 20_000,
  accountHashes: 20_000,
  deviceKeys: 20_000,
  devices: 20_000,
  typing: 10_000,
  sticky: 2_000,
  awaited: 5_000,
} as const;

const decoder = new TextDecoder();

/** What the single writer remembers of the database, so that live traffic need not ask it. Only committed things get in. */
export class IngestMemory {
  readonly rooms = new GenerationalCache<RoomId, RoomMeta>(LIMITS.rooms);
  /** null = known to be absent; the same below. */
  readonly rows = new GenerationalCache<string, StateRow | null>(LIMITS.rows);
  readonly standings = new GenerationalCache<string, UserRoom | null>(LIMITS.standings);
  readonly users = new GenerationalCache<string, boolean>(LIMITS.users);
  readonly receipts = new GenerationalCache<string, { eventId: string; ts: number }>(LIMITS.receipts);
  readonly accountHashes = new GenerationalCache<string, string>(LIMITS.accountHashes);
  readonly deviceKeys = new GenerationalCache<string, KnownDeviceKeys>(LIMITS.deviceKeys);
  /** Devices of which something with a token was committed. */
  readonly devices = new GenerationalCache<string, true>(LIMITS.devices);
  /** Own events of which not every device has been heard. */
  readonly awaited = new GenerationalCache<EventId, AwaitedEvent>(LIMITS.awaited);
  /** Sticky events of a room, by id. */
  readonly sticky = new GenerationalCache<RoomNid, Map<string, KnownSticky>>(LIMITS.sticky);
  readonly typing = new GenerationalCache<RoomNid, TypingState>(LIMITS.typing);
  /** Rooms each poller speaks for. */
  readonly #typingOf = new Map<string, Set<RoomNid>>();
  events: EventLog;

  constructor(head: StreamPos) {
    this.events = new EventLog(LIMITS.events, head);
  }

  /** Takes in what was just committed. */
  learn({ transaction: tx, learned }: Reduction): void {
    for (const { meta } of tx.rooms) this.rooms.set(meta.roomId, meta);
    for (const event of tx.events) this.events.add(event.id, event.pos);
    for (const row of tx.state) this.rows.set(stateKeyOf(row.nid, row.type, row.stateKey), row);
    for (const { nid, removed } of tx.repairs) {
      for (const { type, stateKey } of removed) this.rows.set(stateKeyOf(nid, type, stateKey), null);
    }
    for (const standing of tx.userRooms) {
      // A view of a poll's bytes would keep the whole poll alive.
      const kept = standing.stripped === null ? standing : { ...standing, stripped: standing.stripped.slice() };
      this.standings.set(standingKey(standing.userId, standing.nid), kept);
    }
    for (const receipt of tx.receipts) {
      this.receipts.set(receiptKey(receipt), { eventId: receipt.eventId, ts: receipt.ts });
    }
    // Of a room that is not here all are read when they are needed.
    for (const { nid, id, sender, expiresMs, json } of tx.sticky)
      this.sticky.get(nid)?.set(id, { sender, expiresMs, sizeBytes: json.length });
    for (const keys of tx.deviceKeys) {
      const key = pollerKey(keys.userId, keys.deviceId);
      const before = this.deviceKeys.get(key);
      this.deviceKeys.set(key, {
        otkCounts: keys.otkCounts ?? before?.otkCounts ?? null,
        fallbackKeyTypes: keys.fallbackKeyTypes ?? before?.fallbackKeyTypes ?? null,
      });
    }
    for (const { userId, deviceId } of tx.sinces) this.devices.set(pollerKey(userId, deviceId), true);
    for (const [key, hash] of learned.accountHashes) this.accountHashes.set(key, hash);
    for (const [eventId, awaited] of learned.awaited) {
      if (awaited === null) this.awaited.delete(eventId);
      else this.awaited.set(eventId, awaited);
    }
    for (const [nid, typing] of learned.typing) this.#learnTyping(nid, typing);
  }

  /** The poller stopped: another one may report typing in its rooms, and what is stored of its device may be deleted one day. */
  release(owner: string): void {
    this.deviceKeys.delete(owner);
    for (const nid of this.#typingOf.get(owner) ?? []) {
      const typing = this.typing.get(nid);
      if (typing?.owner === owner) this.typing.set(nid, { ...typing, owner: null });
    }
    this.#typingOf.delete(owner);
  }

  /** What sync hosts were told of typing, for one that begins. */
  recallTyping(): TypingRecalled["rooms"] {
    return Array.from(this.typing.entries(), ([nid, { typing }]) => ({
      nid,
      json: decoder.decode(typing.json),
      userIds: typing.userIds,
    }));
  }

  /** Forgets all that is read from the database, as when it turned out not to be what was thought. */
  clear(head: StreamPos): void {
    this.events = new EventLog(LIMITS.events, head);
    for (const cache of [this.rooms, this.rows, this.standings, this.users]) cache.clear();
    for (const cache of [this.receipts, this.accountHashes, this.deviceKeys, this.sticky]) cache.clear();
  }

  #learnTyping(nid: RoomNid, typing: TypingState): void {
    this.typing.set(nid, typing);
    if (typing.owner === null) return;
    const rooms = this.#typingOf.get(typing.owner);
    if (rooms === undefined) this.#typingOf.set(typing.owner, new Set([nid]));
    else rooms.add(nid);
  }
}
