import { readDirect, readIgnored, readTags } from "#src/protocol/account-data.ts";
import { DIRTY, DIRTY_USER, type World } from "#src/protocol/engine/world.ts";
import type { DeviceId, RoomId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import { type InviteView, inviteView } from "#src/protocol/room-name.ts";
import type { RoomOrder } from "#src/protocol/room-order.ts";
import type { RoomUpdate, UserUpdate } from "#src/protocol/update.ts";
import type { RoomReader, UserSnapshot } from "#src/ports/stores.ts";
import type { AwaitedEvent } from "#actors/directory/awaited-board.ts";
import type { RoomDirectory } from "#actors/directory/room-directory.ts";
import { TXN_WAIT_MS } from "#src/protocol/txn-wait.ts";
import { LiveDevice } from "./live-device.ts";
import { HeldEvents } from "./held-events.ts";
import { RoomLinks } from "./room-links.ts";
import { SmallMap, SmallSet } from "#src/small-collections.ts";

/** Own events whose transaction id is remembered; older ones are echoes nobody waits for. */
const MAX_TXNS = 2000;
/** Lists of different filters and sorts whose order is kept for the next connection. */
const MAX_ORDERS = 16;
/** When more than this part of an order changed (one in so many), it is made anew. */
const MADE_ANEW_FROM = 8;
/** Bits of rooms whose place in some list may have changed. */
const ORDERING = DIRTY.event | DIRTY.counts | DIRTY.standing | DIRTY.reset | DIRTY.place;
const NO_TAGS: ReadonlySet<string> = new Set();
const decoder = new TextDecoder();

/** What an applied commit means for a user's connections. */
export interface UserChanges {
  rooms: [nid: RoomNid, bits: number][];
  /** Bits of `DIRTY_USER` that concern every device. */
  bits: number;
  /** Devices with new to-device messages, device-list or key-count changes, with their bits. */
  devices: Map<DeviceId, number>;
}

/** By type. */
type AccountData = SmallMap<string, { json: Uint8Array; pos: StreamPos }>;

/** Invites as they show, by the standing that holds them: for all users, most of whom have none. */
const invites = new WeakMap<UserRoom, InviteView>();

/** One active user: standings, account data and devices. Read by the user's connections, written by its actor alone. */
export class LiveUser implements World {
  readonly userId: UserId;
  readonly #directory: RoomDirectory;
  readonly #reader: RoomReader;
  readonly #standings = new SmallMap<RoomNid, UserRoom>();
  readonly #nids = new SmallMap<string, RoomNid>();
  readonly #tags = new Map<RoomNid, ReadonlySet<string>>();
  readonly #links = new RoomLinks();
  /** False until there is a list to follow such links. */
  #areLinksKnown = false;
  /** Of rooms in which something happened since the user was read. */
  readonly #activity = new Map<RoomNid, number>();
  #latestActivity: number | null = null;
  #direct: ReadonlySet<string>;
  #directPos: StreamPos;
  #ignored: ReadonlySet<string>;
  /** By event and device. */
  readonly #txns = new Map<string, string>();
  readonly #held = new HeldEvents();
  /** Rooms that have, or had, sticky events. */
  readonly #sticky = new Set<RoomNid>();
  /** By room (0 = global), once read. */
  readonly #accountData = new SmallMap<RoomNid | 0, AccountData>();
  /** What arrived while account data of rooms was being read. */
  readonly #earlyAccountData = new Map<RoomNid | 0, AccountData>();
  #accountReadCount = 0;
  readonly #devices = new SmallMap<DeviceId, LiveDevice>();
  /** Orders as they were when last asked for, and the rooms that changed since. */
  readonly #orders = new SmallMap<string, { order: RoomOrder<RoomNid>; changed: SmallSet<RoomNid> }>();

  constructor(userId: UserId, snapshot: UserSnapshot, directory: RoomDirectory, reader: RoomReader) {
    this.userId = userId;
    this.#directory = directory;
    this.#reader = reader;
    for (const { standing, meta } of snapshot.rooms) {
      this.#standings.set(standing.nid, standing);
      const roomId = (meta ?? this.meta(standing.nid))?.roomId;
      if (roomId !== undefined) this.#nids.set(roomId, standing.nid);
      this.#noteSticky(standing.nid, meta ?? this.meta(standing.nid));
    }
    this.#direct = snapshot.direct === null ? new Set() : readDirect(parse(snapshot.direct));
    this.#directPos = snapshot.directPos;
    this.#ignored = (snapshot.ignored === null ? null : readIgnored(parse(snapshot.ignored))) ?? new Set();
    for (const { nid, json } of snapshot.tags) this.#tags.set(nid, readTags(parse(json)));
    for (const { eventId, deviceId, txnId } of snapshot.txns) this.#txns.set(txnKey(deviceId, eventId), txnId);
  }

  heldFrom(nid: RoomNid): StreamPos | null {
    return this.#held.from(nid);
  }

  /** These own events wait for their transaction ids, and no others: as it was before the user was read. */
  holdOnly(events: readonly AwaitedEvent[]): void {
    this.#held.clear();
    for (const event of events) this.#hold(event);
  }

  /** When held events are to be let go; null when there are none. */
  get heldUntilMs(): number | null {
    return this.#held.nextMs;
  }

  /** Lets go the own events that have waited long enough, and says of which rooms more can be shown. */
  releaseHeld(nowMs: number): UserChanges["rooms"] {
    return this.#held.releaseDue(nowMs).map((nid) => {
      for (const { changed } of this.#orders.values()) changed.add(nid);
      return [nid, DIRTY.event];
    });
  }

  get ignored(): ReadonlySet<string> {
    return this.#ignored;
  }

  standings(): Iterable<UserRoom> {
    return this.#standings.values();
  }

  standing(nid: RoomNid): UserRoom | undefined {
    return this.#standings.get(nid);
  }

  meta(nid: RoomNid): RoomMeta | undefined {
    return this.#directory.room(nid)?.meta;
  }

  nidOf(roomId: string): RoomNid | undefined {
    return this.#nids.get(roomId);
  }

  get directPos(): StreamPos {
    return this.#directPos;
  }

  isDirect(roomId: string): boolean {
    return this.#direct.has(roomId);
  }

  tags(nid: RoomNid): ReadonlySet<string> {
    return this.#tags.get(nid) ?? NO_TAGS;
  }

  invite(nid: RoomNid): InviteView | null {
    return this.#standings.get(nid)?.membership === "invite" ? this.stripped(nid) : null;
  }

  stickyRooms(nowMs: number): readonly RoomNid[] {
    for (const nid of this.#sticky) if ((this.meta(nid)?.stickyUntilMs ?? 0) <= nowMs) this.#sticky.delete(nid);
    return [...this.#sticky].filter((nid) => this.#standings.get(nid)?.membership === "join");
  }

  activity(nid: RoomNid): number {
    return this.#activity.get(nid) ?? this.#restingActivity(nid);
  }

  stripped(nid: RoomNid): InviteView | null {
    const standing = this.#standings.get(nid);
    if (standing === undefined || (standing.membership !== "invite" && standing.membership !== "knock")) return null;
    let view = invites.get(standing);
    if (view === undefined) {
      const events = standing.stripped === null ? [] : parse(standing.stripped);
      view = inviteView(Array.isArray(events) ? events : [], this.userId);
      invites.set(standing, view);
    }
    return view;
  }

  order(
    signature: string,
    make: () => RoomOrder<RoomNid>,
    place: (order: RoomOrder<RoomNid>, nid: RoomNid) => void,
  ): RoomOrder<RoomNid> {
    if (!this.#areLinksKnown) {
      this.#areLinksKnown = true;
      for (const nid of this.#standings.keys()) this.#noteLinks(this.meta(nid));
    }
    let known = this.#orders.get(signature);
    if (known === undefined || known.changed.size > known.order.length / MADE_ANEW_FROM) {
      known = { order: make(), changed: new SmallSet() };
      if (this.#orders.size >= MAX_ORDERS) this.#orders.clear();
      this.#orders.set(signature, known);
    }
    for (const nid of known.changed) place(known.order, nid);
    known.changed.clear();
    return known.order;
  }

  /** The device's transaction id of one of the user's own events. */
  txnId(deviceId: DeviceId, eventId: string): string | null {
    return this.#txns.get(txnKey(deviceId, eventId)) ?? null;
  }

  /** Takes in a commit and says what became of it. Repeating one changes nothing. */
  apply(rooms: readonly RoomUpdate[], user: UserUpdate | null, nowMs: number): UserChanges {
    const dirty = new Map<RoomNid, number>();
    const mark = (nid: RoomNid, bits: number): void => void dirty.set(nid, (dirty.get(nid) ?? 0) | bits);
    const changes: UserChanges = { rooms: [], bits: 0, devices: new Map() };
    for (const standing of user?.rooms ?? []) this.#applyStanding(standing, mark);
    for (const room of rooms) {
      this.#applyRoom(room, mark);
      if (room.sticky !== undefined) changes.bits |= DIRTY_USER.sticky;
    }
    if (user !== null) {
      this.#applyAccountData(user, mark, changes);
      this.#applyTxns(user, mark, nowMs);
      for (const { deviceId, pos } of user.toDevice) {
        this.device(deviceId).messageCame(pos);
        changes.devices.set(deviceId, (changes.devices.get(deviceId) ?? 0) | DIRTY_USER.toDevice);
      }
      for (const { deviceId } of user.deviceChanges) {
        this.device(deviceId).changed();
        changes.devices.set(deviceId, (changes.devices.get(deviceId) ?? 0) | DIRTY_USER.device);
      }
    }
    for (const [nid, bits] of dirty) {
      if ((bits & ORDERING) !== 0) for (const { changed } of this.#orders.values()) changed.add(nid);
    }
    changes.rooms = [...dirty];
    return changes;
  }

  /** True when the user has a standing in a room of which nothing is in memory: only storage can tell what it is. */
  lacksRooms(user: UserUpdate | null): boolean {
    return user?.rooms.some(({ nid }) => this.meta(nid) === undefined) === true;
  }

  /** When something happened last, as the room itself says. */
  #restingActivity(nid: RoomNid): number {
    const standing = this.#standings.get(nid);
    const latest = this.meta(nid)?.latestTs ?? 0;
    return standing === undefined || standing.membership === "join" ? latest : standing.joinTs || latest;
  }

  /** What arrives now is the latest there is, whatever clocks say. */
  #noteActivity(nid: RoomNid): void {
    if (this.#latestActivity === null) {
      this.#latestActivity = 0;
      for (const known of this.#standings.keys())
        this.#latestActivity = Math.max(this.#latestActivity, this.#restingActivity(known));
    }
    this.#latestActivity = Math.max(this.#latestActivity + 1, this.#restingActivity(nid));
    this.#activity.set(nid, this.#latestActivity);
  }

  /** Brings account data of these rooms (0 = global) into memory; null when it is there already. */
  ensureAccountData(nids: readonly (RoomNid | 0)[]): Promise<void> | null {
    const missing = nids.filter((nid) => !this.#accountData.has(nid));
    if (missing.length === 0) return null;
    return this.#readAccountData(missing);
  }

  accountData(nid: RoomNid | 0, after: StreamPos): Uint8Array[] {
    const found: Uint8Array[] = [];
    for (const { json, pos } of this.#accountData.get(nid)?.values() ?? []) if (pos > after) found.push(json);
    return found;
  }

  /** A device's own data, of which nothing is read before somebody asks. */
  device(deviceId: DeviceId): LiveDevice {
    let device = this.#devices.get(deviceId);
    if (device === undefined) {
      device = new LiveDevice(this.userId, deviceId, this.#reader);
      this.#devices.set(deviceId, device);
    }
    return device;
  }

  async #readAccountData(nids: readonly (RoomNid | 0)[]): Promise<void> {
    this.#accountReadCount += 1;
    try {
      const rows = await this.#reader.loadAccountData(this.userId, nids, 0);
      for (const nid of nids) {
        if (!this.#accountData.has(nid)) this.#accountData.set(nid, this.#earlyAccountData.get(nid) ?? new SmallMap());
      }
      for (const { roomNid, type, json, pos } of rows) setIfNewer(this.#accountData.get(roomNid), type, json, pos);
    } finally {
      this.#accountReadCount -= 1;
      if (this.#accountReadCount === 0) this.#earlyAccountData.clear();
    }
  }

  #hold({ nid, eventId, pos, untilMs }: Omit<AwaitedEvent, "userId">): void {
    // Of a room that was left nothing more is to come.
    if (this.#standings.get(nid)?.membership === "join") this.#held.hold(nid, { eventId, pos, untilMs });
  }

  #applyTxns({ txns, cleared, awaited }: UserUpdate, mark: (nid: RoomNid, bits: number) => void, nowMs: number): void {
    for (const { eventId, deviceId, txnId } of txns) this.#txns.set(txnKey(deviceId, eventId), txnId);
    while (this.#txns.size > MAX_TXNS) this.#txns.delete(this.#txns.keys().next().value ?? "");
    for (const event of awaited) this.#hold({ ...event, untilMs: nowMs + TXN_WAIT_MS });
    const settled = new Set([...txns.map(({ eventId }) => eventId), ...cleared]);
    for (const nid of this.#held.release(settled)) mark(nid, DIRTY.event);
  }

  #applyStanding(standing: UserRoom, mark: (nid: RoomNid, bits: number) => void): void {
    const before = this.#standings.get(standing.nid);
    if (before !== undefined && before.pos >= standing.pos) return;
    // A copy: it outlives the message it came in.
    const stripped = standing.stripped?.slice() ?? null;
    this.#standings.set(standing.nid, { ...standing, stripped });
    const meta = this.meta(standing.nid);
    if (meta !== undefined) this.#nids.set(meta.roomId, standing.nid);
    if (standing.membership !== "join") this.#held.releaseRoom(standing.nid);
    this.#noteSticky(standing.nid, meta);
    this.#noteLinks(meta);
    if (before?.membership === standing.membership && before.memberPos === standing.memberPos) {
      const isCounted =
        before.notificationCount === standing.notificationCount && before.highlightCount === standing.highlightCount;
      mark(standing.nid, isCounted ? DIRTY.place : DIRTY.counts);
      return;
    }
    this.#noteActivity(standing.nid);
    mark(standing.nid, DIRTY.standing | DIRTY.counts);
    if (meta === undefined) return;
    for (const old of this.#links.replacedBy(meta.roomId)) mark(old, DIRTY.place);
    // Children are only seen from inside a space.
    this.#markChildren(meta.spaceChildren, mark);
  }

  #noteSticky(nid: RoomNid, meta: RoomMeta | undefined): void {
    if (meta?.stickyUntilMs !== undefined) this.#sticky.add(nid);
  }

  #applyRoom(room: RoomUpdate, mark: (nid: RoomNid, bits: number) => void): void {
    if (room.timeline.length > 0 && this.#standings.get(room.nid)?.membership === "join") this.#noteActivity(room.nid);
    if (room.timeline.length > 0 || room.state.length > 0) mark(room.nid, DIRTY.event);
    if (room.isReset) mark(room.nid, DIRTY.reset);
    if (room.typing !== null) mark(room.nid, DIRTY.typing);
    if (room.receipts.some(({ isPrivate, userId }) => !isPrivate || userId === this.userId))
      mark(room.nid, DIRTY.receipt);
    this.#noteSticky(room.nid, room.meta);
    this.#markChildren(this.#noteLinks(room.meta), mark);
  }

  /** See `RoomLinks.note`. */
  #noteLinks(meta: RoomMeta | undefined): readonly string[] {
    return meta === undefined || !this.#areLinksKnown ? [] : this.#links.note(meta);
  }

  #markChildren(roomIds: readonly string[], mark: (nid: RoomNid, bits: number) => void): void {
    for (const roomId of roomIds) {
      const nid = this.#nids.get(roomId);
      if (nid !== undefined) mark(nid, DIRTY.place);
    }
  }

  #applyAccountData(user: UserUpdate, mark: (nid: RoomNid, bits: number) => void, changes: UserChanges): void {
    for (const { roomNid, type, json, pos } of user.accountData) {
      setIfNewer(this.#accountDataFor(roomNid ?? 0), type, json.slice(), pos);
      if (roomNid === null) {
        changes.bits |= DIRTY_USER.accountData;
        if (type === "m.direct") this.#setDirect(readDirect(parse(json)), pos, mark);
        if (type === "m.ignored_user_list") this.#setIgnored(readIgnored(parse(json)) ?? this.#ignored, mark);
        continue;
      }
      mark(roomNid, DIRTY.accountData);
      if (type !== "m.tag") continue;
      this.#tags.set(roomNid, readTags(parse(json)));
      mark(roomNid, DIRTY.place);
    }
  }

  /** Invites of users who are ignored, or are not any more, may come or go. */
  #setIgnored(ignored: ReadonlySet<string>, mark: (nid: RoomNid, bits: number) => void): void {
    const before = this.#ignored;
    this.#ignored = ignored;
    for (const { nid, membership, memberSender } of this.#standings.values()) {
      if (membership === "invite" && before.has(memberSender) !== ignored.has(memberSender)) mark(nid, DIRTY.place);
    }
  }

  /** Where news of a room belong: nowhere as long as nobody asked for the room's account data. */
  #accountDataFor(nid: RoomNid | 0): AccountData | undefined {
    const known = this.#accountData.get(nid) ?? this.#earlyAccountData.get(nid);
    if (known !== undefined || this.#accountReadCount === 0) return known;
    const early: AccountData = new SmallMap();
    this.#earlyAccountData.set(nid, early);
    return early;
  }

  #setDirect(direct: ReadonlySet<RoomId>, pos: StreamPos, mark: (nid: RoomNid, bits: number) => void): void {
    const before = this.#direct;
    this.#directPos = pos;
    this.#direct = direct;
    for (const roomId of new Set<string>([...before, ...direct])) {
      if (before.has(roomId) === this.#direct.has(roomId)) continue;
      const nid = this.#nids.get(roomId);
      if (nid !== undefined) mark(nid, DIRTY.place);
    }
  }
}

const txnKey = (deviceId: string, eventId: string): string => `${deviceId}\0${eventId}`;

function setIfNewer(data: AccountData | undefined, type: string, json: Uint8Array, pos: StreamPos): void {
  if (data !== undefined && (data.get(type)?.pos ?? 0) < pos) data.set(type, { json, pos });
}

/** JSON of the homeserver's; null for anything that is none. */
function parse(json: Uint8Array): unknown {
  try {
    return JSON.parse(decoder.decode(json));
  } catch {
    return null;
  }
}
