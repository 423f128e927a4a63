import type { Draft } from "#src/protocol/engine/draft.ts";
import type { RoomData } from "#src/protocol/engine/room-data.ts";
import { buildSticky, hasUnheardSticky, NO_STICKY_PROGRESS } from "#src/protocol/engine/sticky-extension.ts";
import type { EventId, RoomNid } from "#src/protocol/ids.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import { FakeWorld } from "./fake-world.ts";
import { jsonBytes } from "./stored-samples.ts";

/** A connection to the sticky events of rooms 1 and 2, or more, by hand. */
export class StickyAsking {
  readonly world = new FakeWorld();
  readonly listed = new Set<number>([1, 2]);
  /** Rooms that the client has. */
  readonly known = new Set<number>([1, 2]);
  readonly #events = new Map<number, StickyEvent[]>();
  progress = NO_STICKY_PROGRESS;
  since = "";
  upTo = 0;

  constructor(nids: readonly number[] = [1, 2]) {
    for (const nid of nids) this.world.set(nid, {}, { stickyUntilMs: 9 });
  }

  add(nid: number, pos: number, sender = "@bob:hs"): void {
    this.upTo = pos;
    const id = `$${pos}` as EventId;
    const event = { nid: nid as RoomNid, id, sender, pos, expiresMs: 9, json: jsonBytes({ event_id: id }) };
    this.#events.set(nid, [...(this.#events.get(nid) ?? []), event]);
  }

  /** Ids that are told, in order; the next request goes on from them unless they are `lost`. */
  ask({ limit = 100, isLost = false } = {}): string[] {
    const draft = { since: 0, upTo: this.upTo } as unknown as Draft;
    const data = {
      nowMs: 0,
      sticky: (nid: RoomNid) => this.#events.get(nid) ?? [],
      stickyTtlMs: () => null,
      txnId: () => null,
    } as unknown as RoomData;
    const sent = { nids: [], timelineIds: () => new Set<string>() };
    const isListed = (nid: RoomNid): boolean => this.listed.has(nid);
    const isKnown = (nid: RoomNid): boolean => this.known.has(nid);
    const params = { enabled: true, limit, since: this.since };
    const { body, progress } = buildSticky({ world: this.world, data, draft, isListed, isKnown }, params, sent);
    if (!isLost) {
      this.progress = progress;
      this.since = body?.nextBatch ?? this.since;
    }
    return [...(body?.rooms.values() ?? [])].flatMap((events) =>
      events.map((event) => (JSON.parse(new TextDecoder().decode(event)) as { event_id: string }).event_id),
    );
  }

  get hasMore(): boolean {
    return hasUnheardSticky({ enabled: true, limit: 100, since: this.since }, this.progress);
  }
}
