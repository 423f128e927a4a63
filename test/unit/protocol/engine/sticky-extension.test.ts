import { describe, expect, test } from "bun:test";
import type { Draft } from "#src/protocol/engine/draft.ts";
import type { RoomData } from "#src/protocol/engine/room-data.ts";
import { buildSticky, hasUnheardSticky, NO_STICKY_PROGRESS } from "#src/protocol/engine/sticky-extension.ts";
import type { EventId, RoomNid } from "#src/protocol/ids.ts";
import type { StickyEvent } from "#src/protocol/sticky-events.ts";
import { FakeWorld } from "#test/support/fake-world.ts";
import { jsonBytes } from "#test/support/stored-samples.ts";

/** A connection to the sticky events of rooms 1 and 2, by hand. */
class Asked {
  readonly world = new FakeWorld();
  readonly listed = new Set<number>([1, 2]);
  readonly rooms: Draft["rooms"] = new Map();
  readonly #events = new Map<number, StickyEvent[]>();
  progress = NO_STICKY_PROGRESS;
  since = "";
  upTo = 0;

  constructor() {
    for (const nid of [1, 2]) this.world.set(nid, {}, { stickyUntilMs: 9 });
  }

  add(nid: number, pos: number, sender = "@bob:hs"): void {
    this.upTo = pos;
    const id = `$${pos}` as EventId;
    const event = { nid: nid as RoomNid, id, sender, pos, expiresMs: 9, json: jsonBytes({ event_id: id }) };
    this.#events.set(nid, [...(this.#events.get(nid) ?? []), event]);
  }

  /** Ids that are told, in order; the next request goes on from them unless they are `lost`. */
  ask({ limit = 100, isLost = false, isFirst = false } = {}): string[] {
    const draft = { isFirst, since: 0, upTo: this.upTo, rooms: this.rooms } as unknown as Draft;
    const data = {
      nowMs: 0,
      sticky: (nid: RoomNid) => this.#events.get(nid) ?? [],
      stickyTtlMs: () => null,
      txnId: () => null,
    } as unknown as RoomData;
    const sent = { nids: [], timelineIds: () => new Set<string>() };
    const isListed = (nid: RoomNid): boolean => this.listed.has(nid);
    const params = { enabled: true, limit, since: this.since };
    const { body, progress } = buildSticky({ world: this.world, data, draft, isListed }, params, this.progress, sent);
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

describe("what is told of sticky events", () => {
  test("[STE-25] an own event that waits for its transaction id, and what follows in its room, is told when it has waited, though tokens go on", () => {
    const asked = new Asked();
    asked.add(1, 11);
    asked.add(1, 12, asked.world.userId);
    asked.add(2, 13);
    asked.world.held.set(1 as RoomNid, 12);
    expect(asked.ask()).toEqual(["$11", "$13"]);
    expect(asked.since).toBe("sticky_13");
    asked.add(1, 14);
    expect(asked.ask()).toEqual([]);
    asked.world.held.clear();
    expect(asked.ask()).toEqual(["$12", "$14"]);
    expect(asked.ask()).toEqual([]);
  });

  test("[STE-26] what is told late comes within the limit too, in order, and none is told twice or left out", () => {
    const asked = new Asked();
    asked.listed.delete(2);
    for (let pos = 11; pos <= 15; pos += 1) asked.add(2, pos);
    asked.add(1, 16);
    expect(asked.ask()).toEqual(["$16"]);
    asked.listed.add(2);
    asked.add(1, 17);
    expect(asked.ask({ limit: 2 })).toEqual(["$11", "$12"]);
    expect(asked.hasMore).toBe(true);
    expect(asked.ask({ limit: 2, isLost: true })).toEqual(["$13", "$14"]);
    expect(asked.ask({ limit: 2 })).toEqual(["$13", "$14"]);
    expect(asked.ask({ limit: 2 })).toEqual(["$15", "$17"]);
    expect(asked.hasMore).toBe(false);
    expect(asked.ask({ limit: 2 })).toEqual([]);
  });

  test("[STE-27] those that were there before the user joined come with the join, within the limit", () => {
    const asked = new Asked();
    for (const pos of [11, 12, 13]) asked.add(2, pos);
    asked.world.set(2, { membership: "leave" });
    asked.add(1, 14);
    expect(asked.ask()).toEqual(["$14"]);
    asked.world.set(2, { membership: "join", joinPos: 20 });
    asked.upTo = 20;
    expect(asked.ask({ limit: 2 })).toEqual(["$11", "$12"]);
    expect(asked.since).toBe("sticky_20.12");
    expect(asked.ask({ limit: 2 })).toEqual(["$13"]);
  });

  test("[STE-28] there may be more to tell when a client comes with another token than it was given, and otherwise not", () => {
    const asked = new Asked();
    expect(asked.hasMore).toBe(true);
    asked.ask();
    expect(asked.hasMore).toBe(false);
    asked.add(1, 11);
    asked.ask({ limit: 0 });
    expect(asked.hasMore).toBe(false);
    asked.ask();
    expect(asked.hasMore).toBe(false);
    asked.since = "sticky_3";
    expect(asked.hasMore).toBe(true);
  });

  test("[STE-29] only a connection that goes on is told again of a room that is new to it: one that begins has what its token says", () => {
    const asked = new Asked();
    asked.add(1, 11);
    asked.ask();
    asked.rooms.set(1 as RoomNid, { nid: 1, kind: "initial", held: null } as never);
    expect(asked.ask({ isFirst: true })).toEqual([]);
    expect(asked.ask()).toEqual(["$11"]);
    asked.rooms.set(1 as RoomNid, { nid: 1, kind: "initial", held: {} } as never);
    expect(asked.ask()).toEqual([]);
  });
});
