import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import type { RoomNid, UserId } from "#src/protocol/ids.ts";
import type { RoomReader } from "#src/ports/stores.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";
import { HeldStore } from "#test/support/held-store.ts";
import { type RigResponse, SyncRig } from "#test/support/sync-rig.ts";

const ROOMS = 30;
const EXTENSIONS = { account_data: { enabled: true }, receipts: { enabled: true } };

describe("a window that moves on", () => {
  let rig: SyncRig;
  let held: HeldStore<RoomReader>;
  let alice: UserId;
  let pos: string;

  /** Rooms whose timelines were read. */
  const timelines = (): RoomNid[] =>
    held.calls.flatMap(({ method, args }) =>
      method === "loadTimelines" ? (args[0] as { nid: RoomNid }[]).map(({ nid }) => nid) : [],
    );
  /** How often anything was read since the last time. */
  const reads = (): number => held.calls.splice(0).length;

  beforeEach(async () => {
    const stores = makeFakeStores();
    held = new HeldStore(stores.rooms);
    rig = await SyncRig.start({ ...stores, rooms: held.store });
    alice = await rig.addUser("alice");
    for (let room = 0; room < ROOMS; room += 1) {
      const state = rig.roomState(alice, [alice], `room ${room}`);
      const timeline = [rig.event("m.room.message", alice, { body: "hello" })];
      await rig.poll(alice, [rig.join(`!${room}`, { state, timeline })], { isFirstSync: true });
    }
    await rig.nodes.settled();
    pos = (await show(0, 4, null)).pos;
    await rig.nodes.settled();
  });

  afterEach(() => rig.stop());

  async function show(start: number, end: number, from: string | null = pos): Promise<RigResponse> {
    const list = {
      ranges: [[start, end]],
      timeline_limit: 5,
      sort: ["by_recency"],
      required_state: [
        ["m.room.name", ""],
        ["m.room.member", "$LAZY"],
      ],
    };
    const response = await rig.sync(alice, { lists: { a: list }, extensions: EXTENSIONS }, { pos: from });
    pos = response.pos;
    return response;
  }

  const shown = ({ rooms }: RigResponse): string[] => Object.keys(rooms).sort();
  /** Newest first. */
  const named = (from: number, to: number): string[] =>
    Array.from({ length: to - from + 1 }, (_, index) => `!${ROOMS - 1 - from - index}`).sort();

  test("[RDA-1] has the rooms behind it read while the client looks: as many as came into view", async () => {
    expect(timelines()).toHaveLength(5);
    await show(0, 9);
    await rig.nodes.settled();
    expect(timelines()).toHaveLength(15);
    const next = await show(0, 14);
    expect(shown(next)).toEqual(named(10, 14));
    expect(next.rooms["!15"]).toMatchObject({
      initial: true,
      name: "room 15",
      timeline: [{ content: { body: "hello" } }],
    });
    await rig.nodes.settled();
    expect(timelines()).toHaveLength(20);
    expect(new Set(timelines()).size).toBe(20);
    // A window that slides on does the same; at the end of the list there is nothing more to read.
    expect(shown(await show(15, 29))).toEqual(named(15, 29));
    await rig.nodes.settled();
    expect(new Set(timelines()).size).toBe(ROOMS);
    expect(timelines()).toHaveLength(ROOMS);
  });

  test("[RDA-2] reads nothing ahead at first, when it stays, and when it moves back", async () => {
    await show(0, 9);
    await rig.nodes.settled();
    reads();
    await show(0, 9);
    await show(0, 4);
    await rig.poll(alice, [rig.join("!29", { timeline: [rig.event("m.room.message", alice, { body: "news" })] })]);
    await show(0, 4);
    await rig.nodes.settled();
    expect(reads()).toBe(0);
  });

  test("[RDA-3] a request that comes meanwhile waits for what is being read, and reads the rest", async () => {
    await show(0, 9);
    await rig.nodes.settled();
    const ahead = held.hold("loadTimelines");
    await show(0, 14);
    await ahead.reached;
    const before = timelines();
    const next = show(0, 21);
    await rig.nodes.settled();
    expect(timelines()).toEqual(before);
    ahead.release();
    expect(shown(await next)).toEqual(named(15, 21));
    await rig.nodes.settled();
    expect(timelines().slice(before.length)).toHaveLength(2 + 7);
    expect(new Set(timelines()).size).toBe(timelines().length);
  });

  test("[RDA-4] what could not be read ahead is read when it is asked for", async () => {
    await show(0, 9);
    await rig.nodes.settled();
    held.fail("loadTimelines", new SyncError("storage_unavailable", "made by the test"));
    await show(0, 14);
    await rig.nodes.settled();
    expect(shown(await show(0, 19))).toEqual(named(15, 19));
  });
});
