import type { RoomNid, StreamPos } from "../ids.ts";
import type { RoomConfig } from "../sticky.ts";
import type { RoomHead } from "./room-facts.ts";
import { SmallMap } from "../../small-collections.ts";

/** A stream of a room that the client is kept up to date with. */
export const LIVE: StreamPos = Number.MAX_SAFE_INTEGER;
/** A stream of a room of which the client has nothing. */
export const NEVER: StreamPos = -1;

/** What a client holds of a room. Never changed: what takes its place may have to be taken back. */
export interface HeldRoom {
  /** Complete up to here, or `LIVE`. */
  readonly upTo: StreamPos;
  readonly receiptsUpTo: StreamPos;
  readonly accountDataUpTo: StreamPos;
  /** What was asked for so far, as far as the client still has it. */
  readonly timelineLimit: number;
  readonly requiredState: RoomConfig["requiredState"];
  /** The head as last sent; null when that is not known any more (after a restart). */
  readonly head: RoomHead | null;
  /** Members sent because they spoke, as they are now. */
  readonly lazyMembers: ReadonlySet<string>;
}

const NOBODY: ReadonlySet<string> = new Set();

/** A room of which nothing was sent yet. */
export const UNSENT: HeldRoom = {
  upTo: NEVER,
  receiptsUpTo: NEVER,
  accountDataUpTo: NEVER,
  timelineLimit: 0,
  requiredState: [],
  head: null,
  lazyMembers: NOBODY,
};

/** Rooms by what the client holds of them; everything since the last acknowledgement can be taken back. */
export class HeldRooms {
  readonly #rooms = new SmallMap<RoomNid, HeldRoom>();
  /** As they were when the client last acknowledged something; null = not held. */
  #before = new SmallMap<RoomNid, HeldRoom | null>();
  /** What is written down of some room is out of date. */
  #isOutdated = false;
  readonly #told = new Map<"receipts" | "account_data", readonly RoomNid[]>();

  get size(): number {
    return this.#rooms.size;
  }

  get(nid: RoomNid): HeldRoom | undefined {
    return this.#rooms.get(nid);
  }

  keys(): Iterable<RoomNid> {
    return this.#rooms.keys();
  }

  set(nid: RoomNid, room: HeldRoom): void {
    this.#remember(nid);
    this.#isOutdated ||= !isWrittenAlike(this.#rooms.get(nid), room);
    this.#rooms.set(nid, room);
  }

  delete(nid: RoomNid): void {
    this.#remember(nid);
    this.#isOutdated = true;
    this.#rooms.delete(nid);
  }

  /** The response that is being made tells of these rooms all that there is in an extension. */
  tell(name: "receipts" | "account_data", nids: readonly RoomNid[]): void {
    this.#told.set(name, nids);
  }

  /** That response is sent. */
  noteTold(): void {
    for (const [name, nids] of this.#told) {
      const stream = name === "receipts" ? "receiptsUpTo" : "accountDataUpTo";
      for (const nid of nids) {
        const room = this.#rooms.get(nid);
        if (room !== undefined && room[stream] !== LIVE) this.set(nid, { ...room, [stream]: LIVE });
      }
    }
    this.#told.clear();
  }

  /** Nothing before this is taken back; true when what is to be written down is not what it was. */
  settle(): boolean {
    const isOutdated = this.#isOutdated;
    this.#before = new SmallMap();
    this.#isOutdated = false;
    return isOutdated;
  }

  /** All is as it was when it was last settled; which rooms changed. */
  takeBack(): Iterable<RoomNid> {
    const before = this.#before;
    for (const [nid, room] of before) {
      if (room === null) this.#rooms.delete(nid);
      else this.#rooms.set(nid, room);
    }
    this.#before = new SmallMap();
    // What was pending is written down with it.
    this.#isOutdated = true;
    return before.keys();
  }

  /** The rooms that are not as they were when it was last settled; null = held no more. */
  *unsettled(): Iterable<[RoomNid, HeldRoom | null]> {
    for (const nid of this.#before.keys()) yield [nid, this.#rooms.get(nid) ?? null];
  }

  /** The rooms as they were when it was last settled. */
  *settled(): Iterable<[RoomNid, HeldRoom]> {
    for (const [nid, room] of this.#rooms) {
      const before = this.#before.get(nid);
      if (before === undefined) yield [nid, room];
      else if (before !== null) yield [nid, before];
    }
    for (const [nid, before] of this.#before) if (before !== null && !this.#rooms.has(nid)) yield [nid, before];
  }

  #remember(nid: RoomNid): void {
    if (!this.#before.has(nid)) this.#before.set(nid, this.#rooms.get(nid) ?? null);
  }
}

/** A room that is merely told its news is written down as it was. */
const isWrittenAlike = (before: HeldRoom | undefined, after: HeldRoom): boolean =>
  before !== undefined &&
  before.upTo === after.upTo &&
  before.receiptsUpTo === after.receiptsUpTo &&
  before.accountDataUpTo === after.accountDataUpTo &&
  before.timelineLimit === after.timelineLimit &&
  before.requiredState === after.requiredState;
