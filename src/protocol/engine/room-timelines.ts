import type { RoomNid, StreamPos } from "../ids.ts";
import { visibleRange } from "../visibility.ts";
import type { Draft, RoomDraft } from "./draft.ts";
import type { RoomData } from "./room-data.ts";
import {
  deltaTimeline,
  firstAfter,
  initialTimeline,
  liveCount,
  nearestPrevBatch,
  type TimelineCut,
  wantedCount,
} from "./timeline.ts";
import { DIRTY, type World } from "./world.ts";

/** Timeline a room needs in memory: everything after `since`, or the newest `limit` events at or below `upTo`. */
export interface TimelineNeed {
  nid: RoomNid;
  limit: number;
  since: StreamPos | null;
  upTo: StreamPos;
}

/** The timelines of one draft. */
export class RoomTimelines {
  readonly #world: World;
  readonly #draft: Draft;
  readonly #data: RoomData;
  readonly #cuts = new Map<RoomNid, TimelineCut>();

  constructor(world: World, draft: Draft, data: RoomData) {
    this.#world = world;
    this.#draft = draft;
    this.#data = data;
  }

  /** What of a room's timeline is sent; undefined until `cut`, and for rooms without one. */
  cutOf(nid: RoomNid): TimelineCut | undefined {
    return this.#cuts.get(nid);
  }

  /** Which timelines have to be in memory: the newest `limit` events, or everything after `since`. */
  needs(): TimelineNeed[] {
    const needs: TimelineNeed[] = [];
    for (const room of this.#draft.rooms.values()) {
      if (this.#world.invite(room.nid) !== null || !room.withTimeline) continue;
      if (room.kind === "initial") {
        const { nid, upTo, isAsked } = room;
        const since = this.#liveSince(room);
        const live = since === null ? 0 : liveCount(this.#world, nid, this.#data.tail(nid), since, upTo);
        const limit = wantedCount(room.config.timelineLimit, live, isAsked);
        if (limit > 0) needs.push({ nid, limit, since: null, upTo });
      } else if (room.kind === "delta" && this.#mayHaveNews(room)) {
        needs.push({ nid: room.nid, limit: 0, since: room.since, upTo: room.upTo });
      }
    }
    return needs;
  }

  /**
   * Cuts the timelines. A delta that is too long becomes an initial entry, whose longer timeline may be missing yet:
   * true = ask `needs` again.
   */
  cut(): boolean {
    let grew = false;
    for (const room of this.#draft.rooms.values()) {
      if (this.#cuts.has(room.nid) || !room.withTimeline || this.#world.invite(room.nid) !== null) continue;
      if (room.kind === "delta" && !this.#mayHaveNews(room)) {
        this.#cuts.set(room.nid, { events: [], isLimited: false, prevBatch: null });
        continue;
      }
      const tail = this.#data.tail(room.nid);
      if (room.kind === "initial") {
        const span = { since: this.#liveSince(room), upTo: room.upTo, isAsked: room.isAsked };
        this.#cuts.set(room.nid, initialTimeline(this.#world, room.nid, tail, room.config.timelineLimit, span));
        continue;
      }
      const events = deltaTimeline(this.#world, room.nid, tail, room.since, room.upTo);
      if (events === null) {
        this.#draft.rooms.set(room.nid, { ...room, kind: "initial", withState: true });
        grew = true;
      } else {
        const prevBatch =
          events.length === 0 ? null : nearestPrevBatch(tail.events, firstAfter(tail.events, room.since));
        this.#cuts.set(room.nid, { events, isLimited: false, prevBatch });
      }
    }
    return grew;
  }

  /** After which position events count as live; null for a first response, and for a room that has to be sent as if it were new. */
  #liveSince({ nid, since }: RoomDraft): StreamPos | null {
    const isReset = ((this.#draft.dirty.get(nid) ?? 0) & DIRTY.reset) !== 0;
    return this.#draft.isFirst || isReset ? null : since;
  }

  /** False when no event after `since` can be there for the viewer: then none has to be read. */
  #mayHaveNews({ nid, since, upTo }: RoomDraft): boolean {
    const standing = this.#world.standing(nid);
    const meta = this.#world.meta(nid);
    if (standing === undefined || meta === undefined || upTo <= since) return false;
    return meta.latestPos > since && visibleRange(standing, meta) !== null;
  }
}
