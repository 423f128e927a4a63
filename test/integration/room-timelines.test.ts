import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Session } from "#test/support/homeserver.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { ALICE, BOB, idsOf, LIST, type PlayedRoom, ROOM, RoomStage } from "#test/support/room-stage.ts";

let stage: RoomStage;
let alice: Session;
beforeEach(async () => {
  stage = await RoomStage.start();
});
afterEach(() => stage.stop());

const says = (count: number, sender = BOB) => Array.from({ length: count }, (_, n) => stage.say(`m${n}`, sender));
const members = () => [stage.create(), stage.member(ALICE), stage.member(BOB)];

/** Alice's first sync has the room with her and Bob in it. */
function open(room: PlayedRoom = {}, more: Record<string, unknown> = {}): void {
  alice = stage.front.account("alice", { ...stage.joins({ state: members(), ...room }), ...more });
}

const news = (...timeline: WireEvent[]) => stage.front.poll(alice, stage.joins({ timeline }));
const listOf = (timeline_limit: number, more: object = {}) => ({
  lists: { all: { ...LIST, timeline_limit, ...more } },
});
/** What of a room its timeline says. */
const cut = (room: Record<string, unknown>) => ({
  ids: idsOf(room["timeline"] as WireEvent[] | undefined),
  limited: room["limited"],
  prev_batch: room["prev_batch"],
  num_live: room["num_live"],
});

describe("a timeline that is sent whole", () => {
  test("[TL-20] has the newest events up to the limit, and says that there are more", async () => {
    const events = says(5);
    open({ timeline: events, limited: true, prevBatch: "p" });
    expect(cut(stage.room(await stage.first(alice, listOf(3))))).toEqual({
      ids: idsOf(events.slice(2)),
      limited: true,
      prev_batch: undefined,
      num_live: undefined,
    });
    const whole = stage.room(await stage.first(alice, listOf(5)));
    expect(cut(whole)).toMatchObject({ ids: idsOf(events), limited: true, prev_batch: "p" });
  });

  test("[TL-21] is never longer than fifty, and a limit of 0 or less is none", async () => {
    open({ timeline: says(60) });
    expect(cut(stage.room(await stage.first(alice, listOf(60)))).ids).toHaveLength(50);
    for (const limit of [0, -1]) {
      const room = stage.room(await stage.first(alice, listOf(limit)));
      expect(cut(room)).toEqual({ ids: [], limited: undefined, prev_batch: undefined, num_live: undefined });
      expect(room).not.toHaveProperty("timeline");
    }
  });

  test("[TL-22] has nothing of a state block, and nothing from before a gap, whatever the limit", async () => {
    open({ timeline: says(3), prevBatch: "p1" });
    await stage.first(alice);
    const after = says(2);
    const name = stage.event("m.room.name", { name: "Changed" }, "");
    await stage.front.poll(alice, stage.joins({ state: [name], timeline: after, limited: true, prevBatch: "p2" }));
    const anew = stage.room(await stage.next(alice));
    expect(anew).toMatchObject({ initial: true, name: "Changed" });
    expect(cut(anew)).toEqual({ ids: idsOf(after), limited: true, prev_batch: "p2", num_live: 2 });
    const fresh = stage.room(await stage.first(alice, listOf(50)));
    expect(cut(fresh)).toMatchObject({ ids: idsOf(after), limited: true, prev_batch: "p2" });
  });

  test("[TL-33] is behind a gap when an answer before had nothing to show of what it left out", async () => {
    open({ timeline: says(3), prevBatch: "p1" });
    await stage.first(alice);
    await stage.front.poll(alice, stage.joins({ timeline: [], limited: true, prevBatch: "p2" }));
    const after = says(2);
    await stage.front.poll(alice, stage.joins({ timeline: after, prevBatch: "p3" }));
    const anew = stage.room(await stage.next(alice));
    expect(anew["initial"]).toBe(true);
    expect(cut(anew)).toEqual({ ids: idsOf(after), limited: true, prev_batch: "p3", num_live: 2 });
    await news(stage.say("on"));
    expect(stage.room(await stage.next(alice))).not.toHaveProperty("initial");
  });

  test("[TL-23] a longer limit alone brings a longer timeline alone; other state alone brings state alone", async () => {
    const events = says(5);
    open({ timeline: events });
    const required_state = [["m.room.create", ""]];
    await stage.first(alice, listOf(1, { required_state }));
    const longer = stage.room(await stage.next(alice, listOf(4)));
    expect(longer["initial"]).toBe(true);
    expect(longer).not.toHaveProperty("required_state");
    expect(cut(longer).ids).toEqual(idsOf(events.slice(1)));
    const more = [...required_state, ["m.room.member", BOB]];
    const state = stage.room(await stage.next(alice, listOf(0, { required_state: more })));
    expect(state).toMatchObject({
      initial: true,
      required_state: [{ type: "m.room.create" }, { type: "m.room.member" }],
    });
    expect(state).not.toHaveProperty("timeline");
  });

  test("[TL-24] a token serves for what is behind it: the nearest one is given, never an older one", async () => {
    const chunks = [says(3), says(3), says(3)];
    open({ timeline: chunks[0] ?? [], prevBatch: "p0" });
    await stage.first(alice);
    for (const [index, timeline] of chunks.slice(1).entries()) {
      await stage.front.poll(alice, stage.joins({ timeline, prevBatch: `p${index + 1}` }));
    }
    const tokens: unknown[] = [];
    for (const limit of [9, 8, 6, 5, 3, 2])
      tokens.push(cut(stage.room(await stage.first(alice, listOf(limit)))).prev_batch);
    expect(tokens).toEqual(["p0", "p1", "p1", "p2", "p2", undefined]);
  });

  test("[TL-25] a token that belongs to an event that was refused is given to nobody", async () => {
    const refused = { type: "m.room.message", content: {} } as WireEvent;
    open({ timeline: [refused, ...says(2)], prevBatch: "p" });
    expect(cut(stage.room(await stage.first(alice)))).toMatchObject({ ids: [expect.any(String), expect.any(String)] });
    expect(stage.room(await stage.first(alice))["prev_batch"]).toBeUndefined();
  });
});

describe("live events", () => {
  test("[TL-26] come all of them and in order, however small the limit", async () => {
    open({ timeline: says(2) });
    await stage.first(alice, listOf(1));
    const events = says(60);
    await news(...events.slice(0, 59));
    await news(...events.slice(59));
    const room = stage.room(await stage.next(alice));
    expect(room["initial"]).toBeUndefined();
    expect(cut(room)).toMatchObject({ ids: idsOf(events), num_live: 60 });
  });

  test("[TL-27] are in the entry of the room that they bring into view, beyond the limit, and are counted", async () => {
    const one = says(1);
    const other = (timeline: WireEvent[]) => ({ roomId: "!other:test", state: members(), timeline });
    const join = (stage.joins({ state: members(), timeline: one })["rooms"] as { join: object }).join;
    const newer = (stage.joins(other(says(1)))["rooms"] as { join: object }).join;
    alice = stage.front.account("alice", { rooms: { join: { ...join, ...newer } } });
    const first = await stage.first(alice, listOf(2, { ranges: [[0, 0]] }));
    expect(Object.keys(first.rooms)).toEqual(["!other:test"]);
    const live = says(3);
    await news(...live);
    const room = stage.room(await stage.next(alice));
    expect(room["initial"]).toBe(true);
    expect(cut(room)).toMatchObject({ ids: idsOf([...one, ...live]), num_live: 3 });
  });

  test("[TL-32] are told beside what a request asks for: behind a longer timeline, and with state alone too", async () => {
    const events = says(4);
    open({ timeline: events });
    await stage.first(alice, listOf(1));
    const live = says(2);
    await news(...live);
    const longer = stage.room(await stage.next(alice, listOf(2)));
    expect(cut(longer)).toMatchObject({ ids: idsOf([...events.slice(2), ...live]), num_live: 2 });
    const more = stage.say("more");
    await news(more);
    const state = stage.room(await stage.next(alice, listOf(0, { required_state: [["m.room.create", ""]] })));
    expect(state).toMatchObject({ initial: true, required_state: [{ type: "m.room.create" }], num_live: 1 });
    expect(cut(state).ids.at(-1)).toBe(more.event_id ?? "");
    const last = stage.say("last");
    await news(last);
    expect(cut(stage.room(await stage.next(alice))).ids).toEqual(idsOf([last]));
  });

  test("[TL-28] that nobody can count make the room new, with a gap to page into", async () => {
    open({ timeline: says(2) });
    await stage.first(alice, listOf(4));
    const events = says(150);
    for (let from = 0; from < 150; from += 50) {
      await stage.front.poll(alice, stage.joins({ timeline: events.slice(from, from + 50), prevBatch: `p${from}` }));
    }
    const room = stage.room(await stage.next(alice));
    expect(room["initial"]).toBe(true);
    expect(cut(room)).toMatchObject({ ids: idsOf(events.slice(-4)), limited: true });
  });

  test("[TL-29] of a poll that repeats some are told once, and what lies before a known event is old", async () => {
    open({ timeline: says(2) });
    const carol = stage.front.account("carol");
    await stage.first(alice);
    await stage.first(carol);
    const [unknown, known, join, late] = [
      stage.say("old"),
      stage.say("known"),
      stage.member("@carol:test"),
      stage.say("new"),
    ];
    await news(known);
    const timeline = [unknown, known, unknown, join, late, late];
    await stage.front.poll(carol, stage.joins({ timeline, limited: true, prevBatch: "pc" }));
    expect(cut(stage.room(await stage.next(alice))).ids).toEqual(idsOf([known, unknown, join, late]));
  });
});

describe("events as they are", () => {
  /** Plays a sync body of which the events are text: as a homeserver might have written them. */
  const raw = (kind: string, events: string[]) =>
    stage.front.node.homeserver.queueSync(alice, {
      kind: "raw",
      body: `{"next_batch":"raw","rooms":{"join":{"${ROOM}":{"${kind}":{"events":[${events.join(",")}]}}}}}`,
    });
  const textOf = async (): Promise<string> => {
    await stage.front.node.homeserver.waitUntilPolled(alice);
    return JSON.stringify(stage.room(await stage.next(alice))["timeline"]);
  };

  test("[EVT-40] odd ones are delivered, with every value that JSON can hold", async () => {
    open();
    await stage.first(alice);
    raw("timeline", [
      `{"type":"","event_id":"$empty","sender":"${BOB}","content":{}}`,
      String.raw`{"type":"nul\\u0000","event_id":"$nul","sender":"${BOB}","content":{"body":"a\u0000b \ud83d\ude00"}}`,
      `{"type":"m.x","event_id":"$bare"}`,
      `{"type":"m.x","event_id":"$odd","sender":"${BOB}","content":null,"origin_server_ts":"soon","unsigned":[]}`,
    ]);
    const events = JSON.parse(await textOf()) as WireEvent[];
    expect(idsOf(events)).toEqual(["$empty", "$nul", "$bare", "$odd"]);
    expect(events[1]).toMatchObject({ type: String.raw`nul\u0000`, content: { body: "a\0b 😀" } });
  });

  test("[EVT-41] malformed ones are left out, one by one", async () => {
    open();
    await stage.first(alice);
    const good = stage.say("good");
    raw("timeline", [
      `{"type":"m.x"}`,
      `{"event_id":"$untyped"}`,
      `{"type":5,"event_id":"$five"}`,
      `{"type":"m.x","event_id":""}`,
      `{"type":"m.room.member","state_key":"${BOB}","event_id":"$m","content":{}}`,
      `7`,
      `null`,
      JSON.stringify(good),
    ]);
    expect(idsOf(JSON.parse(await textOf()) as WireEvent[])).toEqual(idsOf([good]));
  });

  test("[EVT-42] bytes are those of the homeserver, big numbers, escapes and order of keys included", async () => {
    open();
    const first = await stage.first(alice);
    const event = String.raw`{"content":{"n":9007199254740993,"x":1.0,"y":1e3,"u":"\u003c\u00e9/\/"},"type":"m.x","event_id":"$big","sender":"@bob:test"}`;
    raw("timeline", [event]);
    await stage.front.node.homeserver.waitUntilPolled(alice);
    const answer = await stage.front.text(alice, {}, first.pos);
    expect(answer).toContain(event);
  });
});

describe("ignored users", () => {
  const PEST = "@pest:test";
  const ignoring = {
    account_data: { events: [{ type: "m.ignored_user_list", content: { ignored_users: { [PEST]: {} } } }] },
  };

  test("[TL-30] are not heard, live or before; what they do to the room is", async () => {
    const said = [stage.say("before"), stage.say("noise", PEST)];
    open({ timeline: said }, ignoring);
    expect(cut(stage.room(await stage.first(alice))).ids).toEqual(idsOf(said.slice(0, 1)));
    const topic = { ...stage.event("m.room.topic", { topic: "x" }, ""), sender: PEST };
    await news(stage.say("noise", PEST), topic, stage.say("after"));
    const room = stage.room(await stage.next(alice));
    expect(room["num_live"]).toBe(2);
    expect((room["timeline"] as WireEvent[]).map(({ sender }) => sender)).toEqual([PEST, BOB]);
  });

  test("[TL-31] are heard again from when they are no longer ignored, and a list that is none changes nothing", async () => {
    open({}, ignoring);
    await stage.first(alice);
    const list = (ignored_users: unknown) => ({
      account_data: { events: [{ type: "m.ignored_user_list", content: { ignored_users } }] },
    });
    await stage.front.poll(alice, list("nobody"));
    await news(stage.say("noise", PEST));
    expect((await stage.next(alice)).rooms).toEqual({});
    await stage.front.poll(alice, list({}));
    const heard = stage.say("heard", PEST);
    await news(heard);
    expect(cut(stage.room(await stage.next(alice))).ids).toEqual(idsOf([heard]));
  });
});
