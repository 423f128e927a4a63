import type { StoredEvent } from "#src/protocol/events.ts";
import type { EventId, RoomId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { IngestTransaction, StateRow } from "#src/ports/stores.ts";
import { emptyTransaction } from "#src/state/ingest-transaction.ts";

/** A transaction that changes nothing but what is given. */
export const transaction = (head: number, parts: Partial<IngestTransaction> = {}): IngestTransaction => ({
  ...emptyTransaction(head),
  ...parts,
});

export const jsonBytes = (value: unknown): Uint8Array => new Uint8Array(Buffer.from(JSON.stringify(value)));

/** A message in a timeline, unless overridden; its JSON agrees with its fields. */
export function storedEvent(nid: number, pos: number, overrides: Partial<StoredEvent> = {}): StoredEvent {
  const fields = {
    id: `$event-${nid}-${pos}` as EventId,
    type: "m.room.message",
    stateKey: null,
    sender: "@alice:example.org",
    ts: 1_700_000_000_000 + pos,
    membership: null,
    prevMembership: null,
    redacts: null,
    replacesState: null,
    txnId: null,
    nid: nid as RoomNid,
    pos,
    inTimeline: true,
    gapBefore: false,
    prevBatch: null,
    ...overrides,
  };
  const json = jsonBytes({
    type: fields.type,
    sender: fields.sender,
    content: { body: `text of ${pos}`, ...(fields.membership === null ? {} : { membership: fields.membership }) },
    ...(fields.stateKey === null ? {} : { state_key: fields.stateKey }),
    origin_server_ts: fields.ts,
    event_id: fields.id,
  });
  return { json, ...fields };
}

/** The state row that an event makes. */
export const stateRowOf = (event: StoredEvent, overrides: Partial<StateRow> = {}): StateRow => ({
  nid: event.nid,
  type: event.type,
  stateKey: event.stateKey ?? "",
  pos: event.pos,
  membership: event.membership,
  ts: event.ts,
  eventId: event.id,
  ...overrides,
});

export const roomMeta = (nid: number, overrides: Partial<RoomMeta> = {}): RoomMeta => ({
  nid: nid as RoomNid,
  roomId: `!room${nid}:example.org` as RoomId,
  name: null,
  avatar: null,
  alias: null,
  isEncrypted: false,
  roomType: null,
  roomVersion: "11",
  successor: null,
  predecessor: null,
  sharedSince: null,
  joinedCount: 1,
  invitedCount: 0,
  heroes: [],
  leavers: [],
  spaceChildren: [],
  latestPos: 0,
  latestTs: 0,
  latestByType: {},
  awaitedRedactions: [],
  resetPos: 0,
  gapEventId: null,
  seams: [],
  openGaps: [],
  lacksAlgorithm: false,
  vanished: [],
  vanishedUpTo: 0,
  ...overrides,
});

export const userRoom = (userId: string, nid: number, overrides: Partial<UserRoom> = {}): UserRoom => ({
  userId: userId as UserId,
  nid: nid as RoomNid,
  membership: "join",
  memberPos: 1,
  memberSender: userId,
  joinPos: 1,
  joinTs: 1_700_000_000_000,
  leftPos: null,
  stripped: null,
  isDirect: false,
  notificationCount: 0,
  highlightCount: 0,
  pos: 1,
  ...overrides,
});
