import { describe, expect, test } from "bun:test";
import type { StoredEvent } from "#src/protocol/events.ts";
import { LOST, placeChunk, storingOrder } from "#src/state/late-events.ts";
import { IngestWorld, roomUpdate, userUpdate } from "#test/support/ingest-world.ts";
import { joinSection, leaveSection, memberEvent, pollBatch, polledEvent, stateEvent } from "#test/support/polls.ts";

const ALICE = "@alice:hs";
const BOB = "@bob:hs";
const CAROL = "@carol:hs";
const ROOM = "!room:hs";

const stored = (id: string, pos: number, gapBefore = false): StoredEvent => ({
  ...polledEvent(id, { ts: pos }),
  nid: 1 as StoredEvent["nid"],
  pos,
  inTimeline: true,
  gapBefore,
  prevBatch: null,
});
const TAIL = [stored("$a", 10), stored("$b", 11), stored("$c", 12)];

/** Places of what is new in a timeline, and from where on stored events are newer; `~` marks one that is stored, but not in the tail. */
function place(
  ids: readonly string[],
  sight: { tail?: StoredEvent[]; polledAt?: number; seams?: [string, number][]; ts?: number; limited?: boolean } = {},
): { places: number[]; newerFrom: number } {
  const { tail = TAIL, polledAt = -1, seams = [], ts = 5, limited = false } = sight;
  const known = new Set<string>([...tail.map(({ id }) => id), ...ids.filter((id) => id.startsWith("~"))]);
  const timeline = ids.map((id) => polledEvent(id, { ts }));
  const { places, newerFrom } = placeChunk(
    { timeline, certain: { from: 0, isJoin: false }, state: [], isLimited: limited },
    tail,
    {
      isKnown: (id) => known.has(id),
      polledAt,
      joinPos: 0,
      leftPos: 0,
      seams,
    },
  );
  return { places: timeline.flatMap((_, index) => places.get(index) ?? []), newerFrom };
}

describe("placeChunk", () => {
  test("[KEPT-30] an event that stands before a stored one in a poll is older than that one", () => {
    expect(place(["$x", "$a", "$y", "$c", "$z"]).places).toEqual([0, 2, 3]);
    expect(place(["$x"]).places).toEqual([3]);
    expect(place(["$x", "~old", "$y"]).places).toEqual([LOST, 3]);
  });

  test("[KEPT-31] what lies before a gap stays in it", () => {
    const tail = [stored("$g", 10, true), stored("$h", 11)];
    expect(place(["$x", "$g", "$y", "$h"], { tail }).places).toEqual([LOST, 1]);
  });

  test("[KEPT-32] a poll that was answered before what others skipped goes before it, if its clock agrees", () => {
    const seams: [string, number][] = [["$b", 11]];
    expect(place(["$x"], { seams, polledAt: 10 }).places).toEqual([1]);
    expect(place(["$x"], { seams, polledAt: 11 }).places).toEqual([3]);
    expect(place(["$x"], { seams, polledAt: -1 }).places).toEqual([3]);
    expect(place(["$x"], { seams, polledAt: 10, ts: 99 }).places).toEqual([3]);
    expect(place(["$b", "$x"], { seams, polledAt: 10 }).places).toEqual([3]);
    const tail = [stored("$g", 10, true), stored("$h", 11)];
    expect(place(["$x"], { tail, seams: [["$g", 10]], polledAt: 9 }).places).toEqual([LOST]);
  });

  test("[KEPT-33] stored events that a poll would show, had it known of them, are newer than its answer", () => {
    expect(place(["$a"]).newerFrom).toBe(1);
    expect(place(["$x"], { polledAt: 10 }).newerFrom).toBe(1);
    expect(place(["$x"], { polledAt: 12 }).newerFrom).toBe(3);
    expect(place(["$x"], { polledAt: 10, limited: true }).newerFrom).toBe(3);
    // Its device began without rooms, and others brought these to it.
    expect(place(["$x"], { polledAt: 10, ts: 99 }).newerFrom).toBe(3);
    expect(place(["$a", "$x"], { polledAt: 10, ts: 99 }).newerFrom).toBe(1);
  });
});

describe("storingOrder", () => {
  test("[KEPT-30] what is stored behind a late event comes again behind it, and nothing else does", () => {
    const order = (...places: [number, number][]): unknown[] =>
      storingOrder({ places: new Map(places) }, TAIL).map((item) => (typeof item === "number" ? item : item.id));
    expect(order([0, 3], [1, 3])).toEqual([0, 1]);
    expect(order([0, 1], [2, 3])).toEqual([0, "$b", "$c", 2]);
    expect(order([0, LOST], [1, 2])).toEqual([1, "$c"]);
  });
});

describe("late events", () => {
  const world = async (): Promise<IngestWorld> => {
    const made = new IngestWorld();
    for (const userId of [CAROL, BOB]) await made.apply(pollBatch(userId, { isFirstSync: true, since: "s0" }));
    const state = [stateEvent("$create", "m.room.create", ""), memberEvent("$carol", CAROL, "join")];
    const rooms = [joinSection(ROOM, { state, timeline: [memberEvent("$alice", ALICE, "join"), polledEvent("$1")] })];
    await made.apply(pollBatch(ALICE, { isFirstSync: true, since: "s1", rooms }));
    await made.apply(
      pollBatch(CAROL, {
        since: "s1",
        rooms: [joinSection(ROOM, { timeline: [polledEvent("$1")], isStateAfter: true })],
      }),
    );
    return made;
  };
  const poll = (made: IngestWorld, userId: string, part: Parameters<typeof joinSection>[1]) =>
    made.apply(pollBatch(userId, { since: "s2", rooms: [joinSection(ROOM, part)] }));

  test("[KEPT-34] the end of a room's timeline is told anew behind what belongs before it", async () => {
    const made = await world();
    await poll(made, BOB, { timeline: [memberEvent("$bob", BOB, "join", { ts: 50 }), polledEvent("$2")] });
    const before = [made.event("$bob").pos, made.event("$2").pos];
    const timeline = [polledEvent("$late"), memberEvent("$bob", BOB, "join", { ts: 50 })];
    const told = await poll(made, ALICE, { timeline });
    expect(made.timeline(ROOM).slice(-3)).toEqual(["$late", "$bob", "$2"]);
    expect(told.transaction.moved.map(({ id, pos }) => [id as string, pos])).toEqual([
      ["$bob", before[0] as number],
      ["$2", before[1] as number],
    ]);
    const update = roomUpdate(told, ROOM);
    expect(update).toMatchObject({ isReset: true, retoldFrom: before[0] });
    expect(update.timeline.map(({ id }) => id as string)).toEqual(["$late", "$bob", "$2"]);
    expect(update.meta).toMatchObject({ latestPos: made.event("$2").pos });
    expect(userUpdate(told, BOB).rooms).toMatchObject([{ joinPos: made.event("$bob").pos }]);
    expect(made.standing(ALICE, ROOM).joinPos).toBe(made.event("$alice").pos);
  });

  test("[KEPT-46] the token of behind the newest event stays with it, whatever turns up before it", async () => {
    const made = await world();
    const batch = (userId: string, roomsEnd: string, ...timeline: ReturnType<typeof polledEvent>[]) =>
      made.apply(pollBatch(userId, { since: "s2", roomsEnd, rooms: [joinSection(ROOM, { timeline })] }));
    const join = memberEvent("$bob", BOB, "join", { ts: 50 });
    await batch(BOB, "behind-2", join, polledEvent("$2"));
    expect(made.meta(ROOM).endToken).toEqual(["$2", "behind-2"]);
    await batch(ALICE, "before-2", polledEvent("$late"), join);
    expect(made.timeline(ROOM).slice(-3)).toEqual(["$late", "$bob", "$2"]);
    expect(made.meta(ROOM).endToken).toEqual(["$2", "behind-2"]);
    // What is known already brings nothing; what has a token of its own needs none.
    await batch(CAROL, "behind-2-too", polledEvent("$2"));
    await made.apply(
      pollBatch(BOB, {
        since: "s3",
        roomsEnd: "behind-3",
        rooms: [joinSection(ROOM, { timeline: [polledEvent("$3")], prevBatch: "back3" })],
      }),
    );
    expect(made.meta(ROOM).endToken).toEqual(["$2", "behind-2"]);
    await batch(BOB, "x".repeat(2000), polledEvent("$4"));
    expect(made.meta(ROOM).endToken).toEqual(["$2", "behind-2"]);
  });

  test("[KEPT-46] an answer that tells of a leave ends behind what others have seen since, and its token is not kept", async () => {
    const made = await world();
    const gone = memberEvent("$gone", BOB, "leave", { ts: 60 });
    const timeline = [polledEvent("$2"), gone];
    await made.apply(
      pollBatch(BOB, { since: "s2", roomsEnd: "long after", rooms: [leaveSection(ROOM, { timeline })] }),
    );
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$2", "$gone"]);
    expect(made.meta(ROOM).endToken).toBeUndefined();
  });

  test("[KEPT-34] within one group, too, with nothing stored twice", async () => {
    const made = await world();
    const join = memberEvent("$bob", BOB, "join", { ts: 50 });
    const told = await made.apply(
      pollBatch(BOB, { since: "s2", rooms: [joinSection(ROOM, { timeline: [join] })] }),
      pollBatch(ALICE, { since: "s2", rooms: [joinSection(ROOM, { timeline: [polledEvent("$late"), join] })] }),
    );
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$late", "$bob"]);
    expect(told.transaction.moved).toEqual([]);
    expect(made.standing(BOB, ROOM).joinPos).toBe(made.event("$bob").pos);
  });

  test("[SSS-99] what is told anew bumps no more, what came with the same group does", async () => {
    const made = await world();
    await poll(made, BOB, { timeline: [memberEvent("$bob", BOB, "join", { ts: 50 }), polledEvent("$2")] });
    const bumpTs = made.meta(ROOM).bumpTs ?? 0;
    const late = polledEvent("$late", { type: "m.reaction" });
    await poll(made, ALICE, { timeline: [late, memberEvent("$bob", BOB, "join", { ts: 50 })] });
    expect(made.timeline(ROOM).slice(-3)).toEqual(["$late", "$bob", "$2"]);
    expect(made.meta(ROOM).bumpTs).toBe(bumpTs);
    await made.apply(
      pollBatch(BOB, { since: "s3", rooms: [joinSection(ROOM, { timeline: [polledEvent("$4")] })] }),
      pollBatch(ALICE, {
        since: "s3",
        rooms: [joinSection(ROOM, { timeline: [polledEvent("$3", { type: "m.reaction" }), polledEvent("$4")] })],
      }),
    );
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$3", "$4"]);
    expect(made.meta(ROOM).bumpTs).toBe(bumpTs + 1);
  });

  test("[KEPT-32] rooms that a device reads beside its place are not put behind what was stored meanwhile", async () => {
    const made = await world();
    const first = (since: string, rooms: ReturnType<typeof joinSection>[]) =>
      made.apply(pollBatch(ALICE, { device: "TWO", isFirstSync: true, since, rooms }));
    await first("s2", []);
    made.polledAt = made.head;
    await poll(made, ALICE, { timeline: [polledEvent("$9", { ts: 90 })], limited: true, prevBatch: "back9" });
    const read = (id: string, ts: number) =>
      joinSection(ROOM, { timeline: [polledEvent(id, { ts })], limited: true, prevBatch: `back${id}` });
    await first("s2", [read("$5", 50)]);
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$1", "$9"]);
    await first("s2", [read("$95", 95)]);
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$9", "$95"]);
  });

  test("[KEPT-32] what a device brings that began without rooms is behind what the other one has yet to bring", async () => {
    const made = await world();
    const rooms = [joinSection(ROOM, { timeline: [polledEvent("$2", { ts: 50 })] })];
    await made.apply(pollBatch(ALICE, { device: "TWO", since: "s2", roomsAreDue: true, rooms }));
    await poll(made, ALICE, { timeline: [polledEvent("$late", { ts: 40 })] });
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$late", "$2"]);
  });

  test("[KEPT-32] a poll from before a join that others skipped to is told before it", async () => {
    const made = await world();
    await poll(made, BOB, { timeline: [memberEvent("$bob", BOB, "join", { ts: 50 })] });
    await poll(made, ALICE, { timeline: [polledEvent("$late", { ts: 40 })] });
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$late", "$bob"]);
    await poll(made, ALICE, {
      timeline: [memberEvent("$bob", BOB, "join", { ts: 50 }), polledEvent("$new", { ts: 60 })],
    });
    expect(made.timeline(ROOM).slice(-3)).toEqual(["$late", "$bob", "$new"]);
  });

  test("[KEPT-32] who is in the room has come in before, whatever the clock of what they are told says", async () => {
    const made = await world();
    await poll(made, BOB, { timeline: [memberEvent("$bob", BOB, "join", { ts: 50 })] });
    made.polledAt = made.event("$bob").pos - 1;
    const rooms = [joinSection(ROOM, { timeline: [polledEvent("$2", { ts: 1 })] })];
    await made.apply(pollBatch(BOB, { device: "TWO", since: "s2", rooms }));
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$bob", "$2"]);
  });

  test("[KEPT-32] what a joiner's poll shows of before the join is not taken for told in the same group", async () => {
    const made = await world();
    await poll(made, ALICE, { timeline: [], limited: true });
    made.polledAt = made.head;
    const [late, join] = [polledEvent("$late", { ts: 40 }), memberEvent("$bob", BOB, "join", { ts: 50 })];
    const batch = (userId: string, device: string, timeline: (typeof late)[]) =>
      pollBatch(userId, { device, since: "s3", rooms: [joinSection(ROOM, { timeline })] });
    await made.apply(batch(ALICE, "ONE", [join]), batch(BOB, "DEV", [late, join]), batch(ALICE, "TWO", [late]));
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$1", "$bob"]);
  });

  test("[KEPT-32] what is told to who has left meanwhile is from before that", async () => {
    const made = await world();
    await poll(made, BOB, { timeline: [memberEvent("$bob", BOB, "join"), polledEvent("$2")] });
    await poll(made, ALICE, { timeline: [polledEvent("$2"), memberEvent("$left", BOB, "leave")] });
    await poll(made, BOB, { timeline: [polledEvent("$late", { ts: 90 })] });
    expect(made.timeline(ROOM).slice(-3)).toEqual(["$2", "$late", "$left"]);
    expect(made.standing(BOB, ROOM)).toMatchObject({ membership: "leave", leftPos: made.event("$left").pos });
  });

  test("[KEPT-32] after a restart as well", async () => {
    const made = await world();
    await poll(made, BOB, { timeline: [memberEvent("$bob", BOB, "join", { ts: 50 })] });
    made.restart();
    await poll(made, CAROL, { timeline: [polledEvent("$late", { ts: 40 })] });
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$late", "$bob"]);
  });

  test("[KEPT-35] a late answer's state does not take the place of newer state", async () => {
    for (const isStateAfter of [false, true]) {
      const made = await world();
      const topic = (id: string) => stateEvent(id, "m.room.topic", "", { topic: id });
      await poll(made, ALICE, {
        isStateAfter,
        timeline: [polledEvent("$2"), topic("$new")],
        state: isStateAfter ? [topic("$new")] : [],
      });
      await poll(made, CAROL, { isStateAfter, timeline: [polledEvent("$2")], state: [topic("$old")] });
      expect(made.current(ROOM, "m.room.topic")).toMatchObject({ eventId: "$new" });
      await poll(made, CAROL, { isStateAfter, timeline: [topic("$new")], state: isStateAfter ? [topic("$new")] : [] });
      expect(made.current(ROOM, "m.room.topic")).toMatchObject({ eventId: "$new" });
    }
  });

  test("[KEPT-36] a redaction that came first holds for an event that is told anew", async () => {
    const made = await world();
    await poll(made, BOB, {
      timeline: [memberEvent("$bob", BOB, "join", { ts: 50 }), polledEvent("$2", { content: { body: "secret" } })],
    });
    const join = memberEvent("$bob", BOB, "join", { ts: 50 });
    const redaction = { ...polledEvent("$r", { type: "m.room.redaction" }), redacts: "$2" };
    const json = new TextEncoder().encode(JSON.stringify({ type: "m.room.redaction", redacts: "$2", content: {} }));
    await poll(made, ALICE, {
      timeline: [
        polledEvent("$late"),
        join,
        polledEvent("$2", { content: { body: "secret" } }),
        { ...redaction, json },
      ],
    });
    expect(made.timeline(ROOM).slice(-4)).toEqual(["$late", "$bob", "$2", "$r"]);
    expect(new TextDecoder().decode(made.event("$2").json)).not.toContain("body");
  });

  test("[KEPT-37] a redaction that lies in a gap holds all the same, whoever brings it", async () => {
    const made = await world();
    const secret = polledEvent("$2", { content: { body: "secret" } });
    await poll(made, ALICE, { timeline: [secret] });
    await poll(made, ALICE, { timeline: [polledEvent("$4")], limited: true, prevBatch: "p" });
    const json = new TextEncoder().encode(JSON.stringify({ type: "m.room.redaction", redacts: "$2", content: {} }));
    const redaction = { ...polledEvent("$3", { type: "m.room.redaction" }), redacts: "$2", json };
    const told = await poll(made, CAROL, { timeline: [redaction, polledEvent("$4")] });
    expect(made.timeline(ROOM).slice(-2)).toEqual(["$2", "$4"]);
    expect(new TextDecoder().decode(made.event("$2").json)).not.toContain("secret");
    expect(roomUpdate(told, ROOM)).toMatchObject({ isReset: true });
  });

  test("[KEPT-38] from the own join on a joiner's poll is believed, and what is before it is history", async () => {
    const made = await world();
    const bob = memberEvent("$bob", BOB, "join", { ts: 50 });
    await poll(made, ALICE, { timeline: [bob, polledEvent("$3")] });
    const timeline = [polledEvent("$history"), polledEvent("$1"), polledEvent("$hidden"), bob, polledEvent("$2")];
    await poll(made, BOB, { timeline: [...timeline, polledEvent("$3")] });
    expect(made.timeline(ROOM)).toEqual(["$alice", "$1", "$bob", "$2", "$3"]);
    expect(made.meta(ROOM).seams).toEqual([]);
  });
});
