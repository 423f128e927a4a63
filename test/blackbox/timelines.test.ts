import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type CannedEvent, type Json, joined, response } from "#test/support/black-box.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 20 };
const ALL = { lists: { a: LIST } };
const ids = (events: CannedEvent[] | undefined): string[] => (events ?? []).map((event) => event.event_id);

describe("a black box's timelines", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  const push = (token: string, rooms: [string, Json][], more: Json = {}): Promise<void> =>
    box.homeserver.push(token, response(rooms, { next_batch: `s${box.nextTs()}`, ...more }));
  const queue = (token: string, rooms: [string, Json][], more: Json = {}): void =>
    box.homeserver.queue(token, response(rooms, { next_batch: `s${box.nextTs()}`, ...more }));

  test("[BBX-41] timelines have the limit, oldest first, and a usable prev_batch; events of state blocks are no timeline", async () => {
    const alice = box.user("alice");
    const room = box.roomId("timeline");
    const first = [...box.beginning(alice.id), ...["a", "b", "c"].map((body) => box.say(alice.id, body))];
    const later = ["d", "e", "f"].map((body) => box.say(alice.id, body));
    queue(alice.token, [joined(room, { timeline: first, prevBatch: "p1" })]);
    const seen = await box.sync(alice.token, { lists: { a: { ...LIST, timeline_limit: 2 } } });
    expect(ids(seen.rooms[room]!.timeline)).toEqual(ids(first.slice(-2)));
    await push(alice.token, [joined(room, { timeline: later, prevBatch: "p2" })]);
    const live = await box.sync(alice.token, {}, { pos: seen.pos });
    expect(live.rooms[room]).toMatchObject({ timeline: later, num_live: 3, prev_batch: "p2" });
    // Never older than the true position: what is missing can be paged in, some of it twice.
    const anew = await box.sync(alice.token, { lists: { a: { ...LIST, timeline_limit: 4 } } });
    expect(ids(anew.rooms[room]!.timeline)).toEqual(ids([first.at(-1)!, ...later]));
    expect(anew.rooms[room]!["prev_batch"]).toBe("p2");
    const exact = await box.sync(alice.token, { lists: { a: { ...LIST, timeline_limit: 3 } } });
    expect([ids(exact.rooms[room]!.timeline), exact.rooms[room]!["prev_batch"]]).toEqual([ids(later), "p2"]);
    const none = await box.sync(alice.token, { lists: { a: { ranges: [[0, 20]] } } });
    expect(none.rooms[room]!.timeline).toBeUndefined();
    const many = await box.sync(alice.token, { lists: { a: { ...LIST, timeline_limit: 1000 } } });
    expect(many.rooms[room]!.timeline!.length).toBeLessThanOrEqual(50);
  });

  test("[BBX-58] an empty prev_batch is none, the next real one counts", async () => {
    const alice = box.user("alice");
    const room = box.roomId("empty");
    const said = ["a", "b", "c"].map((body) => box.say(alice.id, body));
    queue(alice.token, [joined(room, { timeline: box.beginning(alice.id), prevBatch: "" })]);
    const first = await box.sync(alice.token, { lists: { a: { ...LIST, timeline_limit: 3 } } });
    expect(first.rooms[room]!["prev_batch"]).toBeUndefined();
    await push(alice.token, [joined(room, { timeline: [said[0]!], prevBatch: "" })]);
    await push(alice.token, [joined(room, { timeline: [said[1]!], prevBatch: "real" })]);
    await push(alice.token, [joined(room, { timeline: [said[2]!], prevBatch: "" })]);
    const anew = await box.sync(alice.token, { lists: { a: { ...LIST, timeline_limit: 3 } } });
    expect(anew.rooms[room]).toMatchObject({ timeline: said, prev_batch: "real" });
  });

  test("[BBX-42] a gap is never bridged, and nobody is disconnected by it", async () => {
    const alice = box.user("alice");
    const room = box.roomId("gap");
    queue(alice.token, [
      joined(room, { timeline: [...box.beginning(alice.id), box.say(alice.id, "before")], prevBatch: "p1" }),
    ]);
    const first = await box.sync(alice.token, ALL);
    const missed = box.state("m.room.name", alice.id, { name: "Missed" });
    const after = [box.say(alice.id, "after 1"), box.say(alice.id, "after 2")];
    await push(alice.token, [joined(room, { state: [missed], timeline: after, limited: true, prevBatch: "p2" })]);
    const live = await box.ask(alice.token, {}, { pos: first.pos });
    expect(live.status).toBe(200);
    expect(live.body.rooms[room]).toMatchObject({ name: "Missed", timeline: after, prev_batch: "p2" });
    const fresh = await box.sync(alice.token, ALL);
    expect(fresh.rooms[room]).toMatchObject({ name: "Missed", timeline: after, prev_batch: "p2", initial: true });
  });

  test("[BBX-43] events that were known are not told again, whoever's poll brings them", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("shared");
    const begin = [...box.beginning(alice.id), box.member(bob.id, "join")];
    const said = box.say(alice.id, "said");
    queue(alice.token, [joined(room, { timeline: [...begin, said] })]);
    const first = await box.sync(alice.token, ALL);
    queue(bob.token, [joined(room, { state: begin, timeline: [said] })]);
    const bobs = await box.sync(bob.token, ALL);
    expect(ids(bobs.rooms[room]!.timeline)).toEqual(ids([begin.at(-1)!, said]));
    const more = box.say(bob.id, "more");
    await push(bob.token, [joined(room, { timeline: [said, more] })]);
    await push(alice.token, [joined(room, { timeline: [said, more, more] })]);
    const live = await box.sync(alice.token, {}, { pos: first.pos });
    expect(live.rooms[room]).toMatchObject({ timeline: [more], num_live: 1 });
    expect((await box.sync(alice.token, {}, { pos: live.pos })).rooms).toEqual({});
    await push(bob.token, [joined(room, { timeline: [begin[0]!, begin[1]!, more] })]);
    expect((await box.sync(alice.token, {}, { pos: live.pos })).rooms).toEqual({});
  });

  test("[BBX-44] malformed events cost themselves alone", async () => {
    const alice = box.user("alice");
    const [room, createless, fine] = [box.roomId("odd"), box.roomId("createless"), box.roomId("fine")];
    const odd = box.say(alice.id, "an event without a type, nearly", { type: "" });
    const escaped = box.say(alice.id, "nul \u0000 inside");
    const last = box.say(alice.id, "last");
    const bad = [
      {},
      { ...box.say(alice.id, "no id"), event_id: undefined },
      { ...box.say(alice.id, "id"), event_id: 5 },
      { ...box.say(alice.id, "type"), type: 7 },
      { ...box.member("@x:localhost", "join"), content: {} },
      { ...box.member("@x:localhost", "join"), content: { membership: 5 } },
      { ...box.member("@x:localhost", "join"), content: { membership: "" } },
      null,
      5,
      "x",
    ] as CannedEvent[];
    queue(alice.token, [
      joined(room, { state: [...bad, ...box.beginning(alice.id)], timeline: [...bad, odd, escaped, last] }),
      joined(createless, { state: [box.member(alice.id, "join"), box.state("m.room.name", alice.id, { name: "x" })] }),
      joined(fine, { timeline: box.beginning(alice.id) }),
    ]);
    const first = await box.sync(alice.token, ALL);
    expect(first.rooms[room]!.timeline).toEqual([odd, escaped, last]);
    expect(first.rooms[room]!["joined_count"]).toBe(1);
    expect(first.rooms[fine]).toBeDefined();
    await push(alice.token, [joined(fine, { timeline: [box.say(alice.id, "goes on")] })]);
    expect((await box.sync(alice.token, {}, { pos: first.pos })).rooms[fine]!.timeline).toHaveLength(1);
  });

  test("[BBX-45] a create event that comes in the timeline of a state block makes the room", async () => {
    const alice = box.user("alice");
    const room = box.roomId("moved");
    const [create, own, ...rest] = box.beginning(alice.id) as [CannedEvent, CannedEvent, ...CannedEvent[]];
    const said = box.say(alice.id, "hi");
    queue(alice.token, [joined(room, { state: [own, ...rest], timeline: [create, said] })]);
    const first = await box.sync(alice.token, { lists: { a: { ...LIST, required_state: [["m.room.create", ""]] } } });
    expect(first.rooms[room]!.required_state).toEqual([create]);
    expect(ids(first.rooms[room]!.timeline)).toContain(said.event_id);
  });

  test("[BBX-46] per-user members of unsigned are nobody else's", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("unsigned");
    const begin = [...box.beginning(alice.id), box.member(bob.id, "join")];
    const plain = box.say(alice.id, "hi");
    const said = {
      ...plain,
      unsigned: { transaction_id: "t1", membership: "join", "io.element.msc4115.membership": "join", age: 5 },
    };
    queue(alice.token, [joined(room, { timeline: [...begin, said] })]);
    const first = await box.sync(alice.token, ALL);
    expect(first.rooms[room]!.timeline!.at(-1)!["unsigned"]).toEqual({ age: 5, transaction_id: "t1" });
    queue(bob.token, [joined(room, { state: begin, timeline: [plain] })]);
    const bobs = await box.sync(bob.token, ALL);
    expect(bobs.rooms[room]!.timeline!.at(-1)!["unsigned"]).toEqual({ age: 5 });
  });

  test("[BBX-199] a room joined behind the client's back comes with everything since the join, whatever the limit", async () => {
    const alice = box.user("alice");
    const [known, room] = [box.roomId("known"), box.roomId("joined")];
    queue(alice.token, [joined(known, { timeline: box.beginning(alice.id) })]);
    const first = await box.sync(alice.token, { lists: { a: { ...LIST, timeline_limit: 1 } } });
    await push(alice.token, [joined(known, { timeline: [box.say(alice.id, "elsewhere")] })]);
    const [create, own, ...begin] = box.beginning("@bob:localhost");
    const since = [box.member(alice.id, "join"), ...["a", "b", "c"].map((body) => box.say("@bob:localhost", body))];
    await push(alice.token, [joined(room, { timeline: [create!, own!, ...begin, ...since] })]);
    const live = await box.sync(alice.token, {}, { pos: first.pos });
    expect(live.rooms[room]).toMatchObject({ initial: true, timeline: since, num_live: 4 });
  });

  test("[BBX-47] redactions are applied to what is stored, state falls back in the same response", async () => {
    const alice = box.user("alice");
    const room = box.roomId("redacted");
    const name = box.state("m.room.name", alice.id, { name: "To be redacted" });
    const avatar = box.state("m.room.avatar", alice.id, { url: "mxc://localhost/x" });
    const said = box.say(alice.id, "secret");
    queue(alice.token, [joined(room, { timeline: [...box.beginning(alice.id), name, avatar, said] })]);
    const first = await box.sync(alice.token, ALL);
    expect(first.rooms[room]!.name).toBe("To be redacted");
    const redact = (target: CannedEvent): CannedEvent =>
      box.event("m.room.redaction", alice.id, { reason: "x" }, { redacts: target.event_id });
    const [one, two, three] = [redact(said), redact(name), redact(avatar)];
    await push(alice.token, [joined(room, { timeline: [one, two, three] })]);
    const live = await box.sync(alice.token, {}, { pos: first.pos });
    expect(live.rooms[room]).toMatchObject({ name: "Empty Room", avatar: null, timeline: [one, two, three] });
    const fresh = await box.sync(alice.token, { lists: { a: { ...LIST, required_state: [["m.room.name", ""]] } } });
    const gone = fresh.rooms[room]!.timeline!.find((event) => event.event_id === said.event_id)!;
    expect(gone.content).toEqual({});
    expect(gone["unsigned"]).toMatchObject({ redacted_because: { event_id: one.event_id } });
    expect(fresh.rooms[room]!.required_state![0]!.content).toEqual({});
  });

  test("[BBX-57] ignored users are not heard, their state is", async () => {
    const alice = box.user("alice");
    const room = box.roomId("ignored");
    const evil = "@evil:localhost";
    queue(
      alice.token,
      [
        joined(room, {
          timeline: [
            ...box.beginning(alice.id),
            box.member(evil, "join"),
            box.say(evil, "bad"),
            box.say(alice.id, "good"),
          ],
        }),
      ],
      { account_data: { events: [{ type: "m.ignored_user_list", content: { ignored_users: { [evil]: {} } } }] } },
    );
    const first = await box.sync(alice.token, ALL);
    expect(first.rooms[room]!.timeline!.filter((event) => event.sender === evil).map((event) => event.type)).toEqual([
      "m.room.member",
    ]);
    const state = box.state("m.room.topic", evil, { topic: "t" });
    await push(alice.token, [joined(room, { timeline: [box.say(evil, "bad"), state] })]);
    const live = await box.sync(alice.token, {}, { pos: first.pos });
    expect(live.rooms[room]!.timeline).toEqual([state]);
    await push(alice.token, [joined(room, { timeline: [box.say(evil, "bad again")] })]);
    expect((await box.sync(alice.token, {}, { pos: live.pos })).rooms[room]?.timeline).toBeUndefined();
  });
});
