import type { RoomNid } from "../ids.ts";
import type { Draft } from "./draft.ts";
import type { Engine } from "./engine-api.ts";
import type { Entries } from "./entries-api.ts";
import type { RoomData } from "./room-data.ts";
import type { RoomEntry } from "./room-entry.ts";
import type { RoomHead } from "./room-facts.ts";
import type { World } from "./world.ts";

/** Rooms that are read and written within one turn: ten thousand at once would hold up everybody else in the host. */
const PAGE_ROOMS = 100;

/** So many rooms of a draft as are dealt with at once. */
export interface Page {
  draft: Draft;
  entries: Entries;
}

/** The rooms of one draft, page by page; most drafts are one page. */
export class RoomPages {
  readonly pages: readonly Page[];
  /** Rooms of pages that are built. */
  readonly nids: RoomNid[] = [];
  hasInitial = false;
  /** Heads as sent, for `Engine.noteSent`. */
  readonly heads = new Map<RoomNid, RoomHead>();
  readonly #draft: Draft;
  readonly #pageOf = new Map<RoomNid, Page>();

  constructor(world: World, engine: Engine, draft: Draft, data: RoomData) {
    this.#draft = draft;
    this.pages = split(draft).map((part) => ({ draft: part, entries: engine.makeEntries(world, part, data) }));
  }

  /** The entries of a page, whose data is in memory. */
  build(page: Page): RoomEntry[] {
    const entries = page.entries.build();
    for (const { nid, isInitial } of entries) {
      this.nids.push(nid);
      this.hasInitial ||= isInitial;
    }
    for (const [nid, head] of page.entries.heads) this.heads.set(nid, head);
    for (const [nid, room] of page.draft.rooms) {
      this.#pageOf.set(nid, page);
      // A page may have made more of a room than was decided, and added some.
      this.#draft.rooms.set(nid, room);
    }
    return entries;
  }

  /** Event ids of the timeline sent for a room, for its receipts. */
  timelineIds(nid: RoomNid): ReadonlySet<string> {
    return this.#pageOf.get(nid)?.entries.timelineIds(nid) ?? new Set();
  }

  /** Remembers whom the client has heard of; call when the response is made. */
  noteMembers(): void {
    for (const { entries } of this.pages) entries.noteMembers();
  }
}

/** What is dirty goes with its room; the first page has what is dirty of no room in the draft. */
function split(draft: Draft): Draft[] {
  if (draft.rooms.size <= PAGE_ROOMS) return [draft];
  // Extensions that begin speak of rooms on every page, and of others: they are left to the whole draft.
  const part = { ...draft, dirtyUser: 0, startedExtensions: new Set<never>(), shown: new Set<never>() };
  const parts: (Draft & { dirty: Map<RoomNid, number> })[] = [];
  const partOf = new Map<RoomNid, Map<RoomNid, number>>();
  for (const [nid, room] of draft.rooms) {
    let last = parts.at(-1);
    if (last === undefined || last.rooms.size === PAGE_ROOMS) {
      last = { ...part, rooms: new Map(), dirty: new Map() };
      parts.push(last);
    }
    last.rooms.set(nid, room);
    partOf.set(nid, last.dirty);
  }
  for (const [nid, bits] of draft.dirty) (partOf.get(nid) ?? parts[0]?.dirty)?.set(nid, bits);
  return parts;
}
