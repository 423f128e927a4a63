import { describe, expect, test } from "bun:test";
import { type CursorSnapshot, newLife } from "#src/protocol/engine/proof.ts";
import { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import { DIRTY } from "#src/protocol/engine/world.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import type { SyncRequest } from "#src/protocol/request.ts";
import { FakeWorld } from "#test/support/fake-world.ts";

const LIST: SyncRequest = { lists: { all: { ranges: [[0, 1]], timeline_limit: 5 } } };

/** A connection whose responses are made and sent by hand. */
class Played {
  readonly world = new FakeWorld();
  readonly engine: ConnectionEngine;
  seq = 0;
  pos = 10;

  constructor(rooms: number, engine = new ConnectionEngine(10, 1)) {
    this.engine = engine;
    for (let nid = 1; nid <= rooms; nid += 1) this.world.set(nid);
  }

  ask(request: SyncRequest): this {
    this.engine.applyRequest(this.world, request);
    return this;
  }

  happens(nid: number, bits: number): this {
    this.pos += 1;
    this.engine.markDirty(nid as RoomNid, bits);
    return this;
  }

  /** The next response: rooms with why they are in it. */
  next(): [nid: number, kind: string][] {
    const draft = this.engine.collect(this.world, this.pos);
    this.seq += 1;
    this.engine.noteSent(draft, this.seq, new Map());
    return [...draft.rooms.values()].map(({ nid, kind }) => [nid, kind]);
  }
}

const initial = (...nids: number[]) => nids.map((nid): [number, string] => [nid, "initial"]);

describe("ConnectionEngine", () => {
  test("[CON-60] rooms come whole when they come into view, and then what changes of them", () => {
    const played = new Played(3).ask(LIST);
    expect(played.next()).toEqual(initial(3, 2));
    played.world.set(2, {}, { latestTs: 2500 });
    expect(played.happens(2, DIRTY.event).next()).toEqual([[2, "delta"]]);
    played.world.set(1, {}, { latestTs: 9000 });
    expect(played.happens(1, DIRTY.event).next()).toEqual(initial(1));
    expect(played.ask({ lists: { all: { ranges: [[0, 2]] } } }).next()).toEqual(initial(2));
  });

  test("[CON-61] a change out of view gives the room up, in a generation of its own", () => {
    const played = new Played(2).ask({ lists: { all: { ranges: [[0, 1]] } } });
    played.next();
    played.ask({ lists: { all: { ranges: [[0, 0]] } } }).next();
    expect(played.happens(1, DIRTY.receipt).next()).toEqual([]);
    expect(played.engine.generation).toBe(2);
    expect(played.engine.synced.has(1 as RoomNid)).toBe(false);
  });

  test("[CON-73] so does a reset that takes the room out of view", () => {
    const played = new Played(2).ask({ lists: { all: { ranges: [[0, 0]] } } });
    played.next();
    played.world.set(2, {}, { latestTs: 500 });
    played.happens(2, DIRTY.event | DIRTY.reset);
    expect(played.next()).toEqual([
      [1, "initial"],
      [2, "delta"],
    ]);
    expect(played.engine.generation).toBe(2);
    expect([...played.engine.synced.keys()]).toEqual([1 as RoomNid]);
  });

  test("[CON-62] a kick is told by its last events, not by the room; a rejoin by the whole room", () => {
    const played = new Played(2).ask({ ...LIST, room_subscriptions: { "!room1:example.org": {} } });
    played.next();
    played.world.set(1, { membership: "leave", leftPos: 11 });
    expect(played.happens(1, DIRTY.event | DIRTY.standing | DIRTY.reset).next()).toEqual([[1, "delta"]]);
    played.world.set(1, { membership: "join", joinPos: 12, leftPos: null });
    expect(played.happens(1, DIRTY.event | DIRTY.standing).next()).toEqual(initial(1));
  });

  test("[CON-63] a room that was left since it came into view is not sent", () => {
    const played = new Played(2).ask({ lists: { all: { ranges: [[0, 0]] } } });
    played.next();
    played.world.set(1, { membership: "ban", leftPos: 11 });
    played.happens(1, DIRTY.standing);
    expect(played.ask({ lists: { all: { ranges: [[0, 1]] } } }).next()).toEqual([]);
  });

  test("[CON-72] nor is one that was left without the connection being told yet: it leaves the list at once", () => {
    const played = new Played(3).ask({ lists: { all: { ranges: [[0, 0]] } } });
    played.next();
    played.world.set(2, { membership: "ban", leftPos: 11 });
    played.ask({ lists: { all: { ranges: [[0, 1]] } } });
    const draft = played.engine.collect(played.world, played.pos);
    expect([...draft.rooms.keys()].map(Number)).toEqual([1]);
    expect(draft.lists).toMatchObject([
      {
        count: 2,
        ops: [
          { op: "INVALIDATE", range: [0, 0] },
          { op: "SYNC", range: [0, 1], rooms: [3, 1] },
        ],
      },
    ]);
  });

  test("[CON-64] old rooms follow the chain, never in circles, and a room in view keeps what was asked for it", () => {
    const played = new Played(0);
    const id = (nid: number) => `!room${nid}:example.org`;
    played.world.set(1, {}, { predecessor: id(3) });
    played.world.set(2, {}, { predecessor: id(1), successor: id(3) });
    played.world.set(3, {}, { predecessor: id(2) });
    played.ask({
      lists: { all: { ranges: [[0, 0]], timeline_limit: 5, include_old_rooms: { timeline_limit: 1 } } },
      room_subscriptions: { [id(2)]: { timeline_limit: 20 } },
    });
    const draft = played.engine.collect(played.world, 10);
    const limits = [...draft.rooms.values()].map(({ nid, config }) => [Number(nid), config.timelineLimit]);
    expect(limits.toSorted(([a = 0], [b = 0]) => a - b)).toEqual([
      [1, 1],
      [2, 20],
      [3, 5],
    ]);
    played.engine.noteSent(draft, 1, new Map());
    // The successor is sent anew while its predecessor, in view, has news of its own.
    played.happens(2, DIRTY.event).happens(3, DIRTY.reset);
    const again = played.engine.collect(played.world, played.pos);
    expect(again.rooms.get(2 as RoomNid)?.config.timelineLimit).toBe(20);
  });

  describe("taken up again", () => {
    const restored = (change: (world: FakeWorld) => void): [number, string][] => {
      const before = new Played(3).ask({ lists: { all: { ranges: [[0, 1]] } } });
      before.next();
      change(before.world);
      const engine = new ConnectionEngine(20, 1_000_000);
      engine.restore(before.world, before.engine.params, before.engine.snapshot(), {
        seq: 1,
        streamPos: 10,
        generation: before.engine.generation,
        behind: [],
        areParamsServed: true,
      });
      const after = engine.collect(before.world, 20);
      return [...after.rooms.values()].map(({ nid, kind }) => [nid, kind]);
    };

    test("[CON-65] believes what is proven: counts are told, and events where there are any", () => {
      expect(restored((world) => world.set(3, {}, { latestPos: 15 }))).toEqual([
        [3, "delta"],
        [2, "counts"],
      ]);
    });

    test("[CON-66] sends what was reset, rejoined or came into view", () => {
      expect(restored((world) => world.set(3, {}, { resetPos: 11 }))).toEqual([
        [3, "initial"],
        [2, "counts"],
      ]);
      expect(restored((world) => world.set(2, { joinPos: 15 }))).toEqual([
        [2, "initial"],
        [3, "counts"],
      ]);
      expect(restored((world) => world.set(1, {}, { latestTs: 9000, latestPos: 12 }))).toContainEqual([1, "initial"]);
    });

    test("[CON-67] tells of rooms left meanwhile, and of counts out of view", () => {
      expect(
        restored((world) => world.set(3, { membership: "leave", memberPos: 15, leftPos: 15, pos: 15 })),
      ).toContainEqual([3, "delta"]);
      // An invite that came to nothing has no stay that ended.
      expect(restored((world) => world.set(3, { membership: "leave", memberPos: 15, pos: 15 }))).toContainEqual([
        3,
        "delta",
      ]);
      expect(restored((world) => world.set(1, { notificationCount: 3, pos: 15 }))).toContainEqual([1, "counts"]);
    });

    test("[CON-113] lost again at once, it is believed as before: by the position it was taken up from, and by its first one", () => {
      const before = new Played(3).ask({ lists: { all: { ranges: [[0, 1]] } } });
      before.next();
      const takeUp = (snapshot: CursorSnapshot, generation: number, claimed: number): ConnectionEngine => {
        const engine = new ConnectionEngine(20, generation);
        const claim = { seq: 1, streamPos: 10, generation: claimed, behind: [], areParamsServed: true };
        engine.restore(before.world, before.engine.params, snapshot, claim);
        return engine;
      };
      const kinds = (engine: ConnectionEngine): string[] =>
        [...engine.collect(before.world, 20).rooms.values()].map(({ kind }) => kind);
      const second = takeUp(before.engine.snapshot(), newLife(0.5), before.engine.generation);
      const written = second.snapshot();
      expect(kinds(takeUp(written, newLife(0.6), before.engine.generation))).toEqual(["counts", "counts"]);
      expect(kinds(takeUp(written, newLife(0.6), second.generation))).toEqual(["counts", "counts"]);
      expect(kinds(takeUp(written, newLife(0.6), newLife(0.7)))).toEqual(["initial", "initial"]);
    });

    test("[CON-114] a subscription that counted before it was looked at is not taken for served", () => {
      const before = new Played(1).ask({ lists: { all: { ranges: [[0, 1]], timeline_limit: 1 } } });
      before.next();
      const snapshot = before.engine.snapshot();
      before.ask({ room_subscriptions: { [before.world.meta(1 as RoomNid)?.roomId ?? ""]: { timeline_limit: 20 } } });
      const kinds = (areParamsServed: boolean): string[] => {
        const engine = new ConnectionEngine(20, newLife(0.5));
        const claim = { seq: 1, streamPos: 10, generation: before.engine.generation, behind: [], areParamsServed };
        engine.restore(before.world, before.engine.params, snapshot, claim);
        return [...engine.collect(before.world, 20).rooms.values()].map(({ kind }) => kind);
      };
      expect([kinds(true), kinds(false)]).toEqual([["counts"], ["initial"]]);
    });

    test("[CON-68] keeps nothing of rooms out of view: nobody looks for what they missed", () => {
      const before = new Played(3).ask({ lists: { all: { ranges: [[0, 2]] } } });
      before.next();
      before.ask({ lists: { all: { ranges: [[0, 0]] } } }).next();
      const engine = new ConnectionEngine(20, 1_000_000);
      engine.restore(before.world, before.engine.params, before.engine.snapshot(), {
        seq: 2,
        streamPos: 10,
        generation: before.engine.generation,
        behind: [],
        areParamsServed: true,
      });
      expect([...engine.synced.keys()]).toEqual([3 as RoomNid]);
    });
  });

  test("[CON-69] an extension begins anew when it was off, or is to speak of other rooms", () => {
    const played = new Played(1).ask({ ...LIST, extensions: { receipts: { enabled: true }, e2ee: { enabled: true } } });
    played.next();
    expect(played.engine.hasUnheardExtensions).toBe(false);
    played.ask({ extensions: { receipts: { lists: ["all"] } } });
    expect([played.engine.extensionSince("receipts"), played.engine.extensionSince("e2ee")]).toEqual([null, 1]);
    played.ask({ extensions: { e2ee: { enabled: false } } });
    expect(played.engine.extensionSince("e2ee")).toBeNull();
  });
});
