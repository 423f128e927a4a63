import type { StoredEvent } from "#src/protocol/events.ts";
import type { StreamPos } from "#src/protocol/ids.ts";
import type { TimelineTail } from "#src/protocol/engine/room-data.ts";
import { firstAfter } from "#src/protocol/engine/timeline.ts";
import type { StateSelection } from "#src/protocol/required-state.ts";
import type { RoomMeta } from "#src/protocol/room-meta.ts";
import type { RoomUpdate, StoredReceipt } from "#src/protocol/update.ts";
import type { TimelineChunk } from "#src/ports/stores.ts";

/** Events kept of a live room; older ones are read back when somebody asks. */
const MAX_TAIL_EVENTS = 150;
const KEPT_TAIL_EVENTS = 100;
/** What an object in a cache costs beside its bytes, roughly. */
const ENTRY_OVERHEAD_BYTES = 300;

const stateKey = (type: string, key: string): string => `${type}\u0000${key}`;
const receiptKey = (receipt: StoredReceipt): string =>
  `${receipt.userId}\u0000${receipt.threadId}\u0000${receipt.isPrivate ? "p" : ""}`;

/** One room as a sync host knows it: metadata always, the rest as far as it was asked for. */
export class RoomCache {
  meta: RoomMeta;
  typing: { json: Uint8Array; userIds: string[] } | null = null;
  /** When the directory last handed it out, in its own count. */
  lastUse = 0;
  /** Approximate size of what can be dropped. */
  bytes = 0;
  #events: StoredEvent[] = [];
  #coversFrom: StreamPos;
  #isComplete = false;
  /** null = known to be absent. */
  #state = new Map<string, StoredEvent | null>();
  readonly #wholeTypes = new Set<string>();
  #isStateWhole = false;
  #receipts: Map<string, StoredReceipt> | null = null;

  /** `head`: everything after it will arrive through `apply`. */
  constructor(meta: RoomMeta, head: StreamPos) {
    this.meta = meta;
    this.#coversFrom = head;
  }

  get tail(): TimelineTail {
    return { events: this.#events, coversFrom: this.#coversFrom, isComplete: this.#isComplete };
  }

  hasTimeline(limit: number): boolean {
    return this.#isComplete || this.#events.length >= limit;
  }

  covers(since: StreamPos): boolean {
    return this.#coversFrom <= since || this.#isComplete;
  }

  /** Takes a timeline read from storage; events that arrived meanwhile stay behind it. */
  setTimeline(chunk: TimelineChunk): void {
    const last = chunk.events.at(-1)?.pos ?? 0;
    const newer = this.#events.slice(firstAfter(this.#events, last));
    if (newer.some((event) => event.gapBefore)) return;
    this.#events = [...chunk.events, ...newer];
    this.#isComplete = !chunk.hasMore;
    const first = chunk.events[0];
    const isFromStart = !chunk.hasMore && first?.gapBefore !== true;
    this.#coversFrom = isFromStart || first === undefined ? 0 : first.pos - 1;
    this.#measure();
  }

  hasState(selection: StateSelection): boolean {
    return this.#isStateWhole || selection.entries.every(([type, key]) => this.#hasEntry(type, key));
  }

  hasMember(userId: string): boolean {
    return this.#hasEntry("m.room.member", userId);
  }

  /** Takes what a state query found; asked entries that were not found are known to be absent. */
  setState(asked: readonly (readonly [type: string, key: string])[], found: readonly StoredEvent[]): void {
    for (const event of found) this.#state.set(stateKey(event.type, event.stateKey ?? ""), event);
    for (const [type, key] of asked) {
      if (type === "*" && key === "*") this.#isStateWhole = true;
      else if (type !== "*" && key === "*") this.#wholeTypes.add(type);
      else if (type !== "*" && !this.#state.has(stateKey(type, key))) this.#state.set(stateKey(type, key), null);
    }
    this.#measure();
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
    return this.#receipts !== null;
  }

  setReceipts(receipts: readonly StoredReceipt[]): void {
    const newer = this.#receipts;
    this.#receipts = new Map(receipts.map((receipt) => [receiptKey(receipt), receipt]));
    for (const receipt of newer?.values() ?? []) this.#addReceipt(receipt);
    this.#measure();
  }

  receipts(matches: (receipt: StoredReceipt) => boolean): StoredReceipt[] {
    return [...(this.#receipts?.values() ?? [])].filter(matches);
  }

  /** Applies a committed update; what is known already changes nothing. `keep` makes bytes safe to hold on to. */
  apply(update: RoomUpdate, keep: (event: StoredEvent) => StoredEvent): void {
    if (update.meta.latestPos >= this.meta.latestPos) this.meta = update.meta;
    if (update.typing !== null) this.typing = update.typing;
    const last = this.#events.at(-1)?.pos ?? this.#coversFrom;
    for (const incoming of update.timeline) {
      if (incoming.pos <= last) continue;
      const event = keep(incoming);
      if (event.gapBefore) this.#startAfterGap(event);
      else this.#events.push(event);
      this.bytes += event.json.length + ENTRY_OVERHEAD_BYTES;
      if (event.stateKey !== null) this.#replaceState(event);
    }
    for (const event of update.state) this.#replaceState(keep(event));
    if (this.#receipts !== null) for (const receipt of update.receipts) this.#addReceipt(receipt);
    if (this.#events.length > MAX_TAIL_EVENTS) this.#trim();
  }

  /** Forgets everything that can be read back. */
  drop(head: StreamPos): void {
    this.#events = [];
    this.#coversFrom = head;
    this.#isComplete = false;
    this.#state = new Map();
    this.#wholeTypes.clear();
    this.#isStateWhole = false;
    this.#receipts = null;
    this.bytes = 0;
  }

  #hasEntry(type: string, key: string): boolean {
    if (this.#isStateWhole) return true;
    if (type === "*") return false;
    return this.#wholeTypes.has(type) || (key !== "*" && this.#state.has(stateKey(type, key)));
  }

  /** Nothing before a gap is ever shown together with what follows it. */
  #startAfterGap(event: StoredEvent): void {
    this.#events = [event];
    this.#coversFrom = event.pos - 1;
    this.#isComplete = true;
    this.#measure();
  }

  #replaceState(event: StoredEvent): void {
    const key = stateKey(event.type, event.stateKey ?? "");
    if (this.#isStateWhole || this.#wholeTypes.has(event.type) || this.#state.has(key)) this.#state.set(key, event);
  }

  #addReceipt(receipt: StoredReceipt): void {
    const known = this.#receipts?.get(receiptKey(receipt));
    if (known === undefined || known.pos < receipt.pos) this.#receipts?.set(receiptKey(receipt), receipt);
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
    this.bytes = bytes + (this.#receipts?.size ?? 0) * ENTRY_OVERHEAD_BYTES;
  }
}
