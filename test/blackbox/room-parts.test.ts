import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type CannedEvent, type Json, joined, response } from "#test/support/black-box.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 20 };
const ALL = { lists: { a: LIST } };
const ids = (events: CannedEvent[] | undefined): string[] => (events ?? []).map((event) => event.event_id);

describe("what a black box's rooms hold", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  const push = (token: string, rooms: [string, Json][], more: Json = {}): Promise<void> =>
    box.homeserver.push(token, response(rooms, { next_batch: `s${box.nextTs()}`, ...more }));
  const queue = (token: string, rooms: [string, Json][], more: Json = {}): void =>
    box.homeserver.queue(token, response(rooms, { next_batch: `s${box.nextTs()}`, ...more }));

  test("[BBX-50] lazy loading brings the senders in view, live ones once, and $ME", async () => {
    const alice = box.user("alice");
    const room = box.roomId("lazy");
    const begin = box.beginning(alice.id);
    const members = ["b", "c", "d", "e"].map((name) => box.member(`@${name}:localhost`, "join", { displayname: name }));
    const said = [box.say("@b:localhost", "1"), box.say("@c:localhost", "2")];
    queue(alice.token, [joined(room, { state: [...begin, ...members], timeline: said })]);
    const lazy = {
      required_state: [
        ["m.room.member", "$LAZY"],
        ["m.room.member", "$ME"],
        ["m.room.create", ""],
      ],
    };
    const first = await box.sync(alice.token, { lists: { a: { ...LIST, ...lazy, timeline_limit: 1 } } });
    const members1 = ids(first.rooms[room]!.required_state).sort();
    expect(members1).toEqual(ids([begin[0]!, begin[1]!, members[1]!]).sort());
    await push(alice.token, [joined(room, { timeline: [box.say("@d:localhost", "3")] })]);
    const live = await box.sync(alice.token, {}, { pos: first.pos });
    expect(ids(live.rooms[room]!.required_state)).toEqual(ids([members[2]!]));
    await push(alice.token, [joined(room, { timeline: [box.say("@d:localhost", "4"), box.say("@c:localhost", "5")] })]);
    const again = await box.sync(alice.token, {}, { pos: live.pos });
    expect(again.rooms[room]!.required_state).toBeUndefined();
    await push(alice.token, [
      joined(room, { ephemeral: [{ type: "m.typing", content: { user_ids: ["@e:localhost"] } }] }),
    ]);
    const typing = await box.sync(alice.token, { extensions: { typing: { enabled: true } } }, { pos: again.pos });
    expect(typing.extensions["typing"]).toEqual({
      rooms: { [room]: { type: "m.typing", content: { user_ids: ["@e:localhost"] } } },
    });
    expect(ids(typing.rooms[room]!.required_state)).toEqual(ids([members[3]!]));
  });

  test("[BBX-51] required_state in all its forms", async () => {
    const alice = box.user("alice");
    const room = box.roomId("state");
    const begin = box.beginning(alice.id);
    const k = ["k1", "k2"].map((key) => box.state("m.own", alice.id, { key }, key));
    const other = box.state("m.other", alice.id, {}, "k1");
    const bob = box.member("@bob:localhost", "join");
    const said = box.say(alice.id, "hi");
    const all = [...begin, ...k, other, bob];
    queue(alice.token, [joined(room, { state: all, timeline: [said] })]);
    const of = async (required_state: string[][]): Promise<string[]> => {
      const answer = await box.sync(alice.token, { lists: { a: { ...LIST, required_state } } });
      return ids(answer.rooms[room]!.required_state).sort();
    };
    const expected = (...events: CannedEvent[]): string[] => ids(events).sort();
    expect(await of([["*", "*"]])).toEqual(expected(...all));
    expect(await of([["m.own", "*"]])).toEqual(expected(...k));
    expect(await of([["*", "k1"]])).toEqual(expected(k[0]!, other));
    expect(
      await of([
        ["m.own", "k2"],
        ["m.other", "k1"],
      ]),
    ).toEqual(expected(k[1]!, other));
    expect(
      await of([
        ["m.own", "nope"],
        ["no", "*"],
      ]),
    ).toEqual([]);
    expect(await of([["m.room.member", "$ME"]])).toEqual(expected(begin[1]!));
    expect(
      await of([
        ["*", "*"],
        ["m.room.member", "$LAZY"],
      ]),
    ).toEqual(expected(...all.filter((event) => event !== bob)));
    expect(
      await of([
        ["*", "*"],
        ["m.own", "k1"],
      ]),
    ).toEqual(expected(...all.filter((event) => event !== k[1])));
    expect(await of([["m.room.member", "*"]])).toEqual(expected(begin[1]!, bob));
  });

  test("[BBX-52] counts come at once for every room, and with every entry", async () => {
    const alice = box.user("alice");
    const [one, two] = [box.roomId("one"), box.roomId("two")];
    queue(alice.token, [
      joined(one, { timeline: [...box.beginning(alice.id), box.say(alice.id, "hi")] }),
      joined(two, { timeline: [...box.beginning(alice.id), box.say(alice.id, "hi")] }),
    ]);
    const list = { ranges: [[0, 0]], sort: ["by_notification_level", "by_recency"], timeline_limit: 1 };
    const first = await box.sync(alice.token, { lists: { a: list } });
    expect(first.lists["a"]!.ops![0]!.room_ids).toEqual([two]);
    await push(alice.token, [joined(one, { unread: { notification_count: 3, highlight_count: 1 } })]);
    const second = await box.sync(alice.token, {}, { pos: first.pos });
    expect(second.lists["a"]!.ops).toEqual([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 0, room_id: one },
    ]);
    expect(second.rooms[one]).toMatchObject({ initial: true, notification_count: 3, highlight_count: 1 });
    await push(alice.token, [joined(two, { unread: { notification_count: 1, highlight_count: 0 } })]);
    const third = await box.sync(alice.token, {}, { pos: second.pos });
    expect(third.rooms).toEqual({ [two]: { notification_count: 1, highlight_count: 0 } });
    await push(alice.token, [joined(one, { timeline: [box.say(alice.id, "x")] })]);
    const fourth = await box.sync(alice.token, {}, { pos: third.pos });
    expect(fourth.rooms[one]).toMatchObject({ notification_count: 3, highlight_count: 1 });
    await push(alice.token, [joined(one, { unread: { notification_count: 0, highlight_count: 0 } })]);
    const fifth = await box.sync(alice.token, {}, { pos: fourth.pos });
    expect(fifth.rooms[one]).toEqual({ notification_count: 0, highlight_count: 0 });
    expect(fifth.lists["a"]!.ops).toEqual([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 0, room_id: two },
    ]);
  });

  test("[BBX-53] subscriptions: known rooms at once, unknown ones not at all, until one is in", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const [mine, bobs] = [box.roomId("mine"), box.roomId("bobs")];
    const begin = box.beginning(bob.id);
    queue(bob.token, [joined(bobs, { timeline: [...begin, box.say(bob.id, "secret")] })]);
    queue(alice.token, [joined(mine, { timeline: [...box.beginning(alice.id), box.say(alice.id, "hi")] })]);
    await box.sync(bob.token, ALL);
    const subscription = { timeline_limit: 2, required_state: [["m.room.create", ""]] };
    const first = await box.sync(alice.token, {
      room_subscriptions: {
        [mine]: subscription,
        [bobs]: subscription,
        "!unknown:localhost": subscription,
        nonsense: subscription,
      },
    });
    expect(Object.keys(first.rooms)).toEqual([mine]);
    expect(first.rooms[mine]!.timeline).toHaveLength(2);
    expect(first.rooms[mine]!.required_state).toHaveLength(1);
    const same = await box.sync(alice.token, { room_subscriptions: { [mine]: subscription } }, { pos: first.pos });
    expect(same.rooms).toEqual({});
    const own = box.member(alice.id, "join");
    await push(bob.token, [joined(bobs, { timeline: [box.say(bob.id, "still secret"), own] })]);
    const joinedNow = await box.sync(alice.token, {}, { pos: same.pos });
    expect(joinedNow.rooms[bobs]).toMatchObject({ initial: true });
    expect(ids(joinedNow.rooms[bobs]!.timeline)).toEqual([own.event_id]);
    const gone = await box.sync(alice.token, { unsubscribe_rooms: [bobs] }, { pos: joinedNow.pos });
    await push(bob.token, [joined(bobs, { timeline: [box.say(bob.id, "unheard")] })]);
    expect((await box.sync(alice.token, {}, { pos: gone.pos })).rooms).toEqual({});
  });
});
