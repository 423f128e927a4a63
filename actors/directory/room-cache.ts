import type { StoredEvent } from "#src/protocol/events.ts";
import type { StreamPos } from "#src/protocol/ids.ts";
import type { TimelineTail } from "#src/protocol/engine/room-data.ts";
import { firstAfter } from "#src/protocol/engine/timeline.ts";
import type { StateSelection } from "#src/protocol/required-state.ts";
import type { RoomMeta } from "#src/protocol/room-meta.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import type { RoomUpdate, StoredReceipt } from "#src/protocol/update.ts";
import type { TimelineChunk } from "#src/ports/stores.ts";
import { SmallSet } from "#src/small-collections.ts";

/** Events kept of a live room; older ones are read back when somebody asks. */
const MAX_TAIL_EVENTS = 150;
const KEPT_TAIL_EVENTS = 100;
/** What an object in a cache costs beside its bytes, roughly. */
const ENTRY_OVERHEAD_BYTES = 300;

const stateKey = (type: string, key: string): string => `${type}\u0000${key}`;
const receiptKey = (receipt: StoredReceipt): string =>
  `${receipt.userId}\u0000${receipt.threadId}\u0000${receipt.isPrivate ? "p" : ""}`;

/** A read of one room from storage, under way: what arrives meanwhile must not be taken back by it. */
export interface RoomRead {
  readonly drops: number;
  readonly resets: number;
  /** The position the room was complete up to when the read began. */
  readonly head: StreamPos;
}

/** One room as a sync host knows it: metadata always, the rest as far as it was asked for. */
export class RoomCache {
  meta: RoomMeta;
  /** Active users with a standing in the room. */
  userCount = 0;
  /** When the directory last handed it out, in its own count. */
  lastUse = 0;
  /** Approximate size of what can be dropped. */
  bytes = 0;
  #events: StoredEvent[] = [];
  #coversFrom: StreamPos;
  #isComplete = false;
  /** null = known to be absent. */
  #state = new Map<string, StoredEvent | null>();
  readonly #wholeTypes = new SmallSet<string>();
  #isStateWhole = false;
  #receipts = new Map<string, StoredReceipt>();
  #areReceiptsWhole = false;
  /** By event id; redacted ones have no bytes. */
  readonly #sticky = new Map<string, StickyEvent>();
  #isStickyWhole = false;
  #drops = 0;
  #resets = 0;
  #readCount = 0;
  /** Spans of positions that were left for newer ones while something was being read. */
  #retold: (readonly [from: StreamPos, until: StreamPos])[] = [];
  /** Redacted while something was being read: what is read may be from before. */
  readonly #redacted = new Map<string, StoredEvent>();

  /** `head`: everything after it will arrive through `apply`. */
  constructor(meta: RoomMeta, head: StreamPos) {
    this.meta = meta;
    this.#coversFrom = head;
  }

  get tail(): TimelineTail {
    return { events: this.#events, coversFrom: this.#coversFrom, isComplete: this.#isComplete };
  }

  /** True when the newest `limit` events at or below `upTo` are here, or all that can be shown of them. */
  hasTimeline(limit: number, upTo: StreamPos): boolean {
    return this.#isComplete || firstAfter(this.#events, upTo) >= limit;
  }

  /** Events that came after a position; a read from storage has to reach below them. */
  countAfter(pos: StreamPos): number {
    return this.#events.length - firstAfter(this.#events, pos);
  }

  covers(since: StreamPos): boolean {
    return this.#coversFrom <= since || this.#isComplete;
  }

  /** From here on until `endRead` everything that arrives is kept, asked for or not. */
  beginRead(head: StreamPos): RoomRead {
    this.#readCount += 1;
    return { drops: this.#drops, resets: this.#resets, head };
  }

  endRead(): void {
    this.#readCount -= 1;
    if (this.#readCount === 0) {
      this.#redacted.clear();
      this.#retold = [];
      if (!this.#areReceiptsWhole) this.#receipts.clear();
      if (!this.#isStickyWhole) this.#sticky.clear();
    }
    this.#measure();
  }

  /** Takes a timeline read from storage; events that arrived meanwhile stay behind it. */
  setTimeline(read: RoomRead, chunk: TimelineChunk): void {
    if (read.drops !== this.#drops || this.#coversFrom > read.head) return;
    const isRetold = (pos: StreamPos): boolean => this.#retold.some(([from, until]) => pos >= from && pos < until);
    const events = chunk.events.filter(({ pos }) => !isRetold(pos)).map((event) => this.#asRedacted(event));
    const newer = this.#events.slice(firstAfter(this.#events, events.at(-1)?.pos ?? 0));
    if (newer.some((event) => event.gapBefore)) return;
    this.#events = [...events, ...newer];
    this.#isComplete = !chunk.hasMore;
    const first = events[0] ?? (chunk.events.length > 0 ? newer[0] : undefined);
    const isFromStart = !chunk.hasMore && first?.gapBefore !== true;
    this.#coversFrom = isFromStart || first === undefined ? 0 : first.pos - 1;
  }

  hasState(selection: StateSelection): boolean {
    return this.#isStateWhole || selection.entries.every(([type, key]) => this.#hasEntry(type, key));
  }

  get hasMembers(): boolean {
    return this.#hasEntry("m.room.member", "*");
  }

  hasMember(userId: string): boolean {
    return this.#hasEntry("m.room.member", userId);
  }

  /** Takes what a state query found; asked entries that were not found are known to be absent. */
  setState(
    read: RoomRead,
    asked: readonly (readonly [type: string, key: string])[],
    found: readonly StoredEvent[],
  ): void {
    if (read.drops !== this.#drops || read.resets !== this.#resets) return;
    for (const event of found) this.#setIfNewer(this.#asRedacted(event));
    for (const [type, key] of asked) {
      if (type === "*" && key === "*") this.#isStateWhole = true;
      else if (type !== "*" && key === "*") this.#wholeTypes.add(type);
      else if (type !== "*" && !this.#state.has(stateKey(type, key))) this.#state.set(stateKey(type, key), null);
    }
  }

  /** Selected current state in stream order; the selection has been fetched before. */
  state(selection: StateSelection): StoredEvent[] {
    const needsScan = selection.entries.some(([type, key]) => type === "*" || key === "*");
    const found: StoredEvent[] = [];
    if (needsScan) {
      for (const event of this.#state.values()) {
        if (event !== null && selection.matches(event.type, event.stateKey ?? "")) found.push(event);
      }
    } else {
      for (const [type, key] of selection.entries) {
        const event = this.#state.get(stateKey(type, key));
        if (event !== undefined && event !== null && !found.includes(event)) found.push(event);
      }
    }
    return found.sort((a, b) => a.pos - b.pos);
  }

  member(userId: string): StoredEvent | null {
    return this.#state.get(stateKey("m.room.member", userId)) ?? null;
  }

  get hasReceipts(): boolean {
    return this.#areReceiptsWhole;
  }

  setReceipts(read: RoomRead, receipts: readonly StoredReceipt[]): void {
    if (read.drops !== this.#drops) return;
    for (const receipt of receipts) this.#addReceipt(receipt);
    this.#areReceiptsWhole = true;
  }

  receipts(matches: (receipt: StoredReceipt) => boolean): StoredReceipt[] {
    const found: StoredReceipt[] = [];
    for (const receipt of this.#receipts.values()) if (matches(receipt)) found.push(receipt);
    return found;
  }

  /** True when all sticky events that have not expired are here: at once for a room that has none. */
  hasSticky(nowMs: number): boolean {
    return this.#isStickyWhole || (this.meta.stickyUntilMs ?? 0) <= nowMs;
  }

  setSticky(read: RoomRead, events: readonly StickyEvent[]): void {
    if (read.drops !== this.#drops) return;
    for (const event of events) this.#addSticky(event);
    this.#isStickyWhole = true;
  }

  /** Sticky events that have not expired; they were fetched before. */
  sticky(nowMs: number): StickyEvent[] {
    if (this.#sticky.size === 0) return [];
    for (const [id, { expiresMs }] of this.#sticky) if (expiresMs <= nowMs) this.#sticky.delete(id);
    return [...this.#sticky.values()].filter(({ json }) => json.length > 0).sort((a, b) => a.pos - b.pos);
  }

  /** When a sticky event expires; null for one that is not sticky. */
  stickyUntil(eventId: string): number | null {
    const event = this.#sticky.get(eventId);
    return event === undefined || event.json.length === 0 ? null : event.expiresMs;
  }

  /** Applies a committed update; what is known already changes nothing. `keep` makes bytes safe to hold on to. */
  apply(update: RoomUpdate, keep: (event: StoredEvent) => StoredEvent): void {
    if (update.meta.latestPos >= this.meta.latestPos) this.meta = update.meta;
    if (update.retoldFrom !== null) this.#retell(update.retoldFrom, update.timeline[0]?.pos ?? 0);
    const last = this.#events.at(-1)?.pos ?? this.#coversFrom;
    for (const incoming of update.timeline) {
      const isNew = incoming.pos > last;
      const event = isNew ? keep(incoming) : incoming;
      if (isNew) this.#append(event);
      // A timeline read ahead of the commits may hold the event already: its state is still to be applied.
      if (event.stateKey !== null) this.#replaceState(event, isNew ? null : keep);
    }
    for (const event of update.state) this.#replaceState(event, keep);
    for (const event of update.redacted) this.#redact(keep(event));
    if (this.#areReceiptsWhole || this.#readCount > 0) for (const receipt of update.receipts) this.#addReceipt(receipt);
    if (update.sticky !== undefined && (this.#isStickyWhole || this.#readCount > 0))
      for (const event of update.sticky) this.#addSticky(event);
    if (this.#events.length > MAX_TAIL_EVENTS) this.#trim();
    if (update.isReset) this.#forgetState();
  }

  /** Forgets everything that can be read back. */
  drop(head: StreamPos): void {
    this.#events = [];
    this.#coversFrom = head;
    this.#isComplete = false;
    this.#receipts = new Map();
    this.#areReceiptsWhole = false;
    this.#sticky.clear();
    this.#isStickyWhole = false;
    this.#drops += 1;
    this.#forgetState();
  }

  /** After a reset what the timeline said of state may have been overruled: it is read anew. */
  #forgetState(): void {
    this.#state = new Map();
    this.#wholeTypes.clear();
    this.#isStateWhole = false;
    this.#resets += 1;
    this.#measure();
  }

  #hasEntry(type: string, key: string): boolean {
    if (this.#isStateWhole) return true;
    if (type === "*") return false;
    return this.#wholeTypes.has(type) || (key !== "*" && this.#state.has(stateKey(type, key)));
  }

  /** What is here of the timeline from `from` on comes again, from `until` on. */
  #retell(from: StreamPos, until: StreamPos): void {
    if (this.#readCount > 0) this.#retold.push([from, until]);
    // All of it comes, what was not here included.
    this.#coversFrom = Math.min(this.#coversFrom, from - 1);
    this.#events = this.#events.filter(({ pos }) => pos < from || pos >= until);
  }

  #append(event: StoredEvent): void {
    if (event.gapBefore) {
      // Nothing before a gap is ever shown together with what follows it.
      this.#events = [];
      this.#coversFrom = event.pos - 1;
      this.#isComplete = true;
      this.#measure();
    }
    this.#events.push(event);
    this.bytes += event.json.length + ENTRY_OVERHEAD_BYTES;
  }

  #redact(event: StoredEvent): void {
    if (this.#readCount > 0) this.#redacted.set(event.id, event);
    const at = firstAfter(this.#events, event.pos - 1);
    const shown = this.#events[at];
    if (shown?.id === event.id) this.#events[at] = { ...shown, json: event.json };
    const key = stateKey(event.type, event.stateKey ?? "");
    const current = event.stateKey === null ? undefined : this.#state.get(key);
    if (current?.id === event.id) this.#state.set(key, { ...current, json: event.json });
    this.#measure();
  }

  #asRedacted(event: StoredEvent): StoredEvent {
    const redacted = this.#redacted.get(event.id);
    return redacted === undefined ? event : { ...event, json: redacted.json };
  }

  /** `keep` is null for an event that is kept already. */
  #replaceState(event: StoredEvent, keep: ((event: StoredEvent) => StoredEvent) | null): void {
    const key = stateKey(event.type, event.stateKey ?? "");
    const known = this.#state.get(key);
    const isWanted =
      known !== undefined || this.#isStateWhole || this.#wholeTypes.has(event.type) || this.#readCount > 0;
    if (!isWanted || (known !== undefined && known !== null && known.pos >= event.pos)) return;
    this.#state.set(key, keep === null ? event : keep(event));
    this.bytes += ENTRY_OVERHEAD_BYTES + event.json.length - (known?.json.length ?? 0);
  }

  #setIfNewer(event: StoredEvent): void {
    const key = stateKey(event.type, event.stateKey ?? "");
    const known = this.#state.get(key);
    if (known === undefined || known === null || known.pos < event.pos) this.#state.set(key, event);
  }

  #addReceipt(receipt: StoredReceipt): void {
    const key = receiptKey(receipt);
    const known = this.#receipts.get(key);
    if (known === undefined) this.bytes += ENTRY_OVERHEAD_BYTES;
    if (known === undefined || known.pos < receipt.pos) this.#receipts.set(key, receipt);
  }

  /** A copy: it outlives the message it came in. */
  #addSticky(event: StickyEvent): void {
    const known = this.#sticky.get(event.id);
    if (known !== undefined && known.pos >= event.pos) return;
    this.#sticky.set(event.id, { ...event, json: event.json.slice() });
    this.bytes += ENTRY_OVERHEAD_BYTES + event.json.length - (known?.json.length ?? 0);
  }

  #trim(): void {
    this.#events = this.#events.slice(-KEPT_TAIL_EVENTS);
    this.#coversFrom = (this.#events[0]?.pos ?? this.#coversFrom + 1) - 1;
    this.#isComplete = false;
    this.#measure();
  }

  #measure(): void {
    let bytes = 0;
    for (const event of this.#events) bytes += event.json.length + ENTRY_OVERHEAD_BYTES;
    for (const event of this.#state.values()) bytes += ENTRY_OVERHEAD_BYTES + (event?.json.length ?? 0);
    for (const { json } of this.#sticky.values()) bytes += ENTRY_OVERHEAD_BYTES + json.length;
    this.bytes = bytes + this.#receipts.size * ENTRY_OVERHEAD_BYTES;
  }
}
