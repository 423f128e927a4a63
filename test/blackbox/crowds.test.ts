import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type Json, joined } from "#test/support/black-box.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 20 };
const ALL = { lists: { a: LIST } };
const ALL_EXTENSIONS = Object.fromEntries(
  ["to_device", "e2ee", "account_data", "typing", "receipts"].map((name) => [name, { enabled: true }]),
);

describe("a black box among many", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  type User = { id: string; token: string };
  const next = (): string => `s${box.nextTs()}`;
  const join = (...rooms: [string, Json][]): Json => ({ rooms: { join: Object.fromEntries(rooms) } });
  const push = (user: User, body: Json): Promise<void> =>
    box.homeserver.push(user.token, { next_batch: next(), ...body });
  const queue = (user: User, body: Json): void => box.homeserver.queue(user.token, { next_batch: next(), ...body });
  const named = (user: User, id: string, name: string): [string, Json] =>
    joined(id, { timeline: [...box.beginning(user.id), box.state("m.room.name", user.id, { name })] });

  test("[BBX-170] a hundred users at once, all in one room, hear everything once", async () => {
    const users = Array.from({ length: 100 }, () => box.user("crowd"));
    const room = box.roomId("crowd");
    const begin = [...box.beginning(users[0]!.id), ...users.slice(1).map((user) => box.member(user.id, "join"))];
    const hello = box.say(users[0]!.id, "hello");
    for (const user of users) queue(user, join(joined(room, { state: begin, timeline: [hello] })));
    const firsts = await Promise.all(
      users.map((user) => box.sync(user.token, { ...ALL, extensions: ALL_EXTENSIONS }, { timeoutMs: 1000 })),
    );
    for (const first of firsts) {
      expect(first.rooms[room]).toMatchObject({ initial: true, joined_count: 100, timeline: [hello] });
    }
    const waiting = users.map((user, at) => box.ask(user.token, {}, { pos: firsts[at]!.pos, timeoutMs: 10_000 }));
    const news = box.say("@somebody:elsewhere", "news");
    await Promise.all(users.map((user) => push(user, join(joined(room, { timeline: [news] })))));
    for (const answer of await Promise.all(waiting)) {
      expect(answer.status).toBe(200);
      expect(answer.body.rooms[room]!.timeline).toEqual([news]);
    }
  });

  test("[BBX-171] one device that asks ten times at once is answered ten times", async () => {
    const alice = box.user("alice");
    queue(alice, join(named(alice, box.roomId("a"), "A")));
    const begun = await Promise.all(Array.from({ length: 10 }, () => box.ask(alice.token, ALL)));
    expect(begun.map(({ status }) => status)).toEqual(Array.from({ length: 10 }, () => 200));
    const first = await box.sync(alice.token, ALL);
    const same = await Promise.all(
      Array.from({ length: 10 }, () => box.ask(alice.token, {}, { pos: first.pos, timeoutMs: 2000 })),
    );
    expect(new Set(same.map(({ status }) => status))).toEqual(new Set([200]));
    // One after the other they would take twenty seconds.
    expect(Math.max(...same.map(({ tookMs }) => tookMs))).toBeLessThan(15_000);
  });

  test("[BBX-172] names sort without their marks and cases, bytes decide", async () => {
    const alice = box.user("alice");
    const names = ["#banana", "Apple", "(cherry)", "@:_date", " blank", "éclair", "zebra"];
    const rooms = names.map((_, at) => box.roomId(`n${at}`));
    queue(alice, join(...names.map((name, at) => named(alice, rooms[at]!, name))));
    const first = await box.sync(alice.token, { lists: { a: { ...LIST, sort: ["by_name"] } } });
    const order = first.lists["a"]!.ops![0]!.room_ids!.map((id) => names[rooms.indexOf(id)]);
    expect(order).toEqual([" blank", "Apple", "#banana", "(cherry)", "@:_date", "zebra", "éclair"]);
  });

  test("[BBX-173] the notification level sorts highlights, then encrypted, then other notifications", async () => {
    const alice = box.user("alice");
    const rooms = ["none", "plain", "secret", "loud"].map((name) => box.roomId(name));
    const [none, plain, secret, loud] = rooms as [string, string, string, string];
    const encrypted = box.state("m.room.encryption", alice.id, { algorithm: "m.megolm.v1.aes-sha2" });
    const of = (id: string, unread: Json, more = false): [string, Json] =>
      joined(id, { timeline: [...box.beginning(alice.id), ...(more ? [encrypted] : [])], unread });
    queue(
      alice,
      join(
        of(loud, { notification_count: 1, highlight_count: 1 }),
        of(secret, { notification_count: 1, highlight_count: 0 }, true),
        of(plain, { notification_count: 9, highlight_count: 0 }),
        of(none, { notification_count: 0, highlight_count: 0 }),
      ),
    );
    const order = async (...sort: string[]): Promise<string[]> => {
      const answer = await box.sync(alice.token, { lists: { a: { ...LIST, sort } } });
      return answer.lists["a"]!.ops![0]!.room_ids!;
    };
    expect(await order("by_notification_level", "by_recency")).toEqual([loud, secret, plain, none]);
    expect(await order("by_highlight_count", "by_notification_count", "by_recency")).toEqual([
      loud,
      plain,
      secret,
      none,
    ]);
    expect((await box.ask(alice.token, { lists: { a: { ...LIST, sort: ["by_magic"] } } })).status).toBe(400);
  });

  test("[BBX-174] odd timeouts, chunked bodies and any content type", async () => {
    const alice = box.user("alice");
    queue(alice, join(named(alice, box.roomId("a"), "A")));
    const first = await box.sync(alice.token, ALL);
    for (const timeoutMs of ["-5", "0", "1", "20"]) {
      const answer = await box.ask(alice.token, {}, { pos: first.pos, timeoutMs });
      expect([timeoutMs, answer.status, answer.tookMs < 8000]).toEqual([timeoutMs, 200, true]);
    }
    for (const timeoutMs of ["1.5", "1e3", "x"]) {
      expect([timeoutMs, (await box.ask(alice.token, {}, { pos: first.pos, timeoutMs })).status]).toEqual([
        timeoutMs,
        400,
      ]);
    }
    const chunks = new ReadableStream({
      async start(controller) {
        for (const part of ['{"lists":{"a":', '{"ranges":[[0,', "5]]}}}"]) {
          controller.enqueue(new TextEncoder().encode(part));
          await Bun.sleep(5);
        }
        controller.close();
      },
    });
    const answer = await box.server.fetch("/_matrix/client/v3/sync?timeout=50", {
      method: "POST",
      headers: { authorization: alice.token, "content-type": "text/plain" },
      body: chunks,
    });
    expect(answer.status).toBe(200);
    expect((await answer.text()).endsWith("\n")).toBe(true);
  });

  test("[BBX-175] hundreds of lists, ranges, subscriptions and required events work", async () => {
    const alice = box.user("alice");
    const room = box.roomId("a");
    queue(alice, join(named(alice, room, "A")));
    const lists = Object.fromEntries(
      Array.from({ length: 50 }, (_, at) => [`list ${at}`, { ranges: [[0, at]], timeline_limit: 1 }]),
    );
    const room_subscriptions = Object.fromEntries([
      [room, { timeline_limit: 3 }],
      ...Array.from({ length: 100 }, (_, at) => [`!unknown${at}:x`, {}]),
    ]) as Json;
    const answer = await box.ask(alice.token, {
      lists: {
        ...lists,
        ranges: { ranges: Array.from({ length: 100 }, (_, at) => [at * 2, at * 2]) },
        state: { ranges: [[0, 0]], required_state: Array.from({ length: 100 }, (_, at) => [`m.type.${at}`, "*"]) },
      },
      room_subscriptions,
    });
    expect(answer.status).toBe(200);
    expect(Object.keys(answer.body.lists)).toHaveLength(52);
    expect(answer.body.rooms[room]!.timeline).toHaveLength(3);
  });

  test("[BBX-176] a client that asks once more after each lost answer has everything once", async () => {
    const alice = box.user("alice");
    const room = box.roomId("a");
    queue(alice, join(named(alice, room, "A")));
    let pos = (await box.sync(alice.token, ALL)).pos;
    const heard: string[] = [];
    const sent: string[] = [];
    for (let n = 0; n < 20; n++) {
      const said = box.say(alice.id, `n${n}`);
      sent.push(said.event_id);
      const lost = box
        .ask(alice.token, {}, { pos, timeoutMs: 2000, signal: AbortSignal.timeout(5 + n * 3) })
        .catch(() => null);
      await push(alice, join(joined(room, { timeline: [said] })));
      await lost;
      const answer = await box.sync(alice.token, {}, { pos, timeoutMs: 1000 });
      pos = answer.pos;
      heard.push(...(answer.rooms[room]?.timeline ?? []).map((event) => event.event_id));
    }
    expect(heard).toEqual(sent);
  });
});
