import { describe, expect, test } from "bun:test";
import { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import { DIRTY } from "#src/protocol/engine/world.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import type { ListRequest } from "#src/protocol/request.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import { FakeWorld } from "#test/support/fake-world.ts";

const ROOMS = 10_000;
const WINDOW = 20;
const SPACE = 1;

/** A world that counts how often it is asked of rooms. */
class CountedWorld extends FakeWorld {
  #count = 0;
  readonly #nids = new Map<string, RoomNid>();

  override set(nid: number, standing: Partial<UserRoom> = {}, meta: Partial<RoomMeta> = {}): RoomNid {
    const known = super.set(nid, standing, meta);
    this.#nids.set(super.meta(known)?.roomId ?? "", known);
    return known;
  }

  override *standings(): Iterable<UserRoom> {
    for (const standing of super.standings()) {
      this.#count += 1;
      yield standing;
    }
  }

  override standing(nid: RoomNid): UserRoom | undefined {
    this.#count += 1;
    return super.standing(nid);
  }

  override meta(nid: RoomNid): RoomMeta | undefined {
    this.#count += 1;
    return super.meta(nid);
  }

  override nidOf(roomId: string): RoomNid | undefined {
    return this.#nids.get(roomId);
  }

  /** Since it was asked last. */
  asked(): number {
    const before = this.#count;
    this.#count = 0;
    return before;
  }
}

describe("lists of ten thousand rooms", () => {
  test("[LIST-50] an update looks at its room alone, a scroll at what comes into view, whatever filters and sorts there are", () => {
    const world = new CountedWorld();
    const id = (nid: number): string => `!room${nid}:example.org`;
    const spaceChildren = Array.from({ length: ROOMS / 2 }, (_, index) => id(index * 2 + 2));
    world.set(SPACE, {}, { roomType: "m.space", spaceChildren });
    for (let nid = 2; nid <= ROOMS; nid += 1) world.set(nid, {}, { name: `room ${(nid * 7919) % ROOMS}` });
    const engine = new ConnectionEngine(10, 1);
    const list = (request: ListRequest): ListRequest => ({ ranges: [[0, WINDOW - 1]], timeline_limit: 1, ...request });
    engine.applyRequest(world, {
      lists: {
        recent: list({}),
        named: list({ sort: ["by_name"], filters: { room_name_like: "7" } }),
        children: list({ filters: { spaces: [id(SPACE)], is_dm: false, not_tags: ["x"] } }),
        level: list({ sort: ["by_notification_level", "by_recency"], bump_event_types: ["m.room.message"] }),
        slow: list({ slow_get_all_rooms: true, filters: { room_name_like: "room 99" } }),
      },
    });
    let pos = 10;
    const respond = (): number => {
      pos += 1;
      const draft = engine.collect(world, pos);
      engine.noteSent(draft, pos, new Map());
      return draft.rooms.size;
    };
    respond();
    expect(world.asked()).toBeGreaterThan(ROOMS);
    for (const nid of [2, 5000, 9999, 7777]) {
      world.set(nid, {}, { latestTs: 100_000_000 + nid, name: `777 ${nid}` });
      engine.markDirty(nid as RoomNid, DIRTY.event | DIRTY.place);
      expect(respond()).toBeGreaterThan(0);
      expect(world.asked()).toBeLessThan(200);
    }
    engine.applyRequest(world, { lists: { children: { ranges: [[3000, 3000 + WINDOW - 1]] } } });
    expect(respond()).toBe(WINDOW);
    expect(world.asked()).toBeLessThan(20 * WINDOW);
  });
});
