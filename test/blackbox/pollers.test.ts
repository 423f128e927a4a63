import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type CannedEvent, type Json, joined } from "#test/support/black-box.ts";
import { median } from "#test/support/median.ts";
import { until } from "#test/support/until.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const LIST = { ranges: [[0, 20]], timeline_limit: 20 };
const ALL = { lists: { a: LIST } };

describe("a black box's pollers", () => {
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
  const fresh = (user: User, id: string): [string, Json] =>
    joined(id, { timeline: [...box.beginning(user.id), box.say(user.id, "hi")] });
  const filterOf = (query: URLSearchParams): Json => JSON.parse(query.get("filter")!) as Json;

  test("[BBX-100] polls as the Go proxy did: order of parameters, filters, since, headers", async () => {
    const alice = box.user("alice");
    box.homeserver.queue(alice.token, { next_batch: "s #1+x", ...join(fresh(alice, box.roomId("a"))) });
    await box.sync(alice.token, ALL);
    await box.homeserver.push(alice.token, { next_batch: "s2" });
    const [first, second, third] = box.homeserver.pollsOf(alice.token);
    expect(first!.path).toBe("/_matrix/client/r0/sync");
    expect(first!.names.slice(0, 3)).toEqual(["timeout", "set_presence", "filter"]);
    expect([first!.query.get("timeout"), first!.query.get("set_presence")]).toEqual(["0", "offline"]);
    expect(filterOf(first!.query)).toEqual({ presence: { not_types: ["*"] }, room: { timeline: { limit: 1 } } });
    expect(second!.names.slice(0, 4)).toEqual(["timeout", "since", "set_presence", "filter"]);
    expect([second!.query.get("timeout"), second!.query.get("since")]).toEqual(["30000", "s #1+x"]);
    expect(filterOf(second!.query)).toEqual({ presence: { not_types: ["*"] }, room: { timeline: { limit: 50 } } });
    expect(third!.query.get("since")).toBe("s2");
    expect(first!.headers.get("authorization")).toBe(`Bearer ${alice.token}`);
    expect(first!.headers.get("user-agent")).toMatch(/\d+\.\d+/);
  });

  test("[BBX-101] an idle answer without next_batch takes nothing away, and the next poll has no since", async () => {
    const alice = box.user("alice");
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    queue(alice, join(fresh(alice, a)));
    const first = await box.sync(alice.token, ALL);
    const before = box.homeserver.pollsOf(alice.token).length;
    await until("more polls", () => box.homeserver.pollsOf(alice.token).length >= before + 3);
    expect(box.homeserver.pollsOf(alice.token).at(-1)!.query.has("since")).toBe(false);
    await push(alice, join(fresh(alice, b)));
    const second = await box.sync(alice.token, {}, { pos: first.pos });
    expect(second.lists["a"]!.count).toBe(2);
    expect(Object.keys(second.rooms)).toEqual([b]);
    await push(alice, {});
    await push(alice, { rooms: {} });
    await push(alice, {
      rooms: { join: null, leave: null, invite: null },
      account_data: null,
      to_device: { events: null },
    });
    const third = await box.sync(alice.token, {}, { pos: second.pos });
    expect([third.lists["a"]!.count, third.rooms]).toEqual([2, {}]);
    expect((await box.sync(alice.token, ALL)).lists["a"]!.count).toBe(2);
  });

  test("[BBX-102] answers without next_batch are seen as soon as any", async () => {
    const alice = box.user("alice");
    const id = box.roomId("a");
    box.homeserver.queue(alice.token, join(fresh(alice, id)));
    let at = await box.sync(alice.token, ALL);
    const seen = async (body: Json): Promise<number> => {
      const said = box.say(alice.id, "live");
      const startedMs = performance.now();
      await box.homeserver.push(alice.token, { ...body, ...join(joined(id, { timeline: [said] })) });
      at = await box.sync(alice.token, {}, { pos: at.pos });
      expect(at.rooms[id]!.timeline).toEqual([said]);
      return performance.now() - startedMs;
    };
    const [nameless, named]: [number[], number[]] = [[], []];
    for (let block = 0; block < 6; block++) {
      for (let n = 0; n < 4; n++) {
        const tookMs = await seen({});
        // The first comes behind an answer of the other kind.
        if (n > 0) nameless.push(tookMs);
      }
      for (let n = 0; n < 4; n++) {
        const tookMs = await seen({ next_batch: next() });
        if (n > 0) named.push(tookMs);
      }
    }
    // A busy machine slows both; a poller that paused after each answer without would slow one.
    console.log(`seen after ${median(nameless).toFixed(1)} ms without next_batch, ${median(named).toFixed(1)} ms with`);
    expect(median(nameless)).toBeLessThan(5 * median(named) + 50);
  });

  test("[BBX-103] users of devices with one name, and of none, are told apart", async () => {
    const users = [box.user("alice"), box.user("bob"), box.user("chris", null), box.user("dora", "")];
    const rooms = users.map(() => box.roomId("own"));
    users.forEach((user, at) => {
      queue(user, {
        ...join(fresh(user, rooms[at]!)),
        to_device: { events: [{ type: "m.x", sender: user.id, content: { at } }] },
      });
    });
    const answers = await Promise.all(
      users.map((user) =>
        box.sync(user.token, { ...ALL, extensions: { to_device: { enabled: true }, e2ee: { enabled: true } } }),
      ),
    );
    answers.forEach((answer, at) => {
      expect(Object.keys(answer.rooms)).toEqual([rooms[at]!]);
      expect(answer.extensions["to_device"]!["events"]).toEqual([
        { type: "m.x", sender: users[at]!.id, content: { at } },
      ]);
    });
    expect((await box.ask(users[0]!.token, {}, { pos: answers[1]!.pos })).body.errcode).toBe("M_UNKNOWN_POS");
  });

  test("[BBX-104] a second device is in at once, without rooms upstream at first", async () => {
    const alice = box.user("alice", "PHONE");
    const id = box.roomId("a");
    queue(alice, join(fresh(alice, id)));
    await box.sync(alice.token, ALL);
    const laptop = { id: alice.id, token: `${alice.token}-laptop` };
    box.homeserver.addToken(laptop.token, alice.id, "LAPTOP");
    // Whose first sync lasts.
    const held = Promise.withResolvers<Response | null>();
    box.homeserver.intercept = (kind, token) =>
      kind === "sync" && token === laptop.token ? (held.promise as Promise<Response>) : null;
    const first = await box.ask(laptop.token, ALL);
    expect(first.body.rooms[id]).toMatchObject({ initial: true });
    box.homeserver.intercept = null;
    held.resolve(null);
    queue(laptop, {});
    await box.homeserver.drained(laptop.token);
    const polls = box.homeserver.pollsOf(laptop.token);
    expect(filterOf(polls[0]!.query)).toEqual({
      presence: { not_types: ["*"] },
      room: { rooms: [], timeline: { limit: 1 } },
    });
  });

  test("[BBX-105] a transaction id is told to the device that sent, the event comes once to each", async () => {
    const alice = box.user("alice", "PHONE");
    const bob = box.user("bob");
    const laptop = { id: alice.id, token: `${alice.token}-laptop` };
    box.homeserver.addToken(laptop.token, alice.id, "LAPTOP");
    const id = box.roomId("txn");
    const begin = [...box.beginning(alice.id), box.member(bob.id, "join"), box.say(bob.id, "hi")];
    for (const user of [alice, bob, laptop]) queue(user, join(joined(id, { timeline: begin })));
    const at = await Promise.all([alice, laptop, bob].map((user) => box.sync(user.token, ALL)));
    const said = box.say(alice.id, "mine");
    const withTxn = { ...said, unsigned: { transaction_id: "txn" } };
    await push(bob, join(joined(id, { timeline: [said] })));
    await push(alice, join(joined(id, { timeline: [withTxn] })));
    await push(laptop, join(joined(id, { timeline: [said] })));
    const answers = await Promise.all(
      [alice, laptop, bob].map((user, n) => box.sync(user.token, {}, { pos: at[n]!.pos })),
    );
    expect(answers.map((answer) => answer.rooms[id]!.timeline)).toEqual([[withTxn], [said], [said]]);
    const state = box.state("m.room.topic", alice.id, { topic: "x" });
    await push(bob, join(joined(id, { timeline: [state] })));
    expect((await box.sync(alice.token, {}, { pos: answers[0]!.pos })).rooms[id]!.timeline).toEqual([state]);
  });

  test("[BBX-106] an own event that only another's poll brings comes after a second at most", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const id = box.roomId("own");
    const begin = [...box.beginning(alice.id), box.member(bob.id, "join"), box.say(bob.id, "hi")];
    for (const user of [alice, bob]) queue(user, join(joined(id, { timeline: begin })));
    const first = await box.sync(alice.token, ALL);
    await box.sync(bob.token, ALL);
    const said = box.say(alice.id, "mine");
    await push(bob, join(joined(id, { timeline: [said] })));
    const at = await box.until(alice.token, {}, first, (answer) => answer.rooms[id] !== undefined);
    expect(at.rooms[id]!.timeline).toEqual([said]);
  });

  test("[BBX-107] a token that the homeserver forgets is refused, and what waited is answered", async () => {
    const alice = box.user("alice");
    queue(alice, join(fresh(alice, box.roomId("a"))));
    const first = await box.sync(alice.token, ALL);
    const waiting = box.ask(alice.token, {}, { pos: first.pos, timeoutMs: 40_000 });
    await box.waiting(1);
    box.homeserver.removeToken(alice.token);
    const ended = await waiting;
    expect(ended.tookMs).toBeLessThan(20_000);
    expect([200, 401]).toContain(ended.status);
    for (const pos of [first.pos, undefined]) {
      const refused = await box.ask(alice.token, {}, pos === undefined ? {} : { pos });
      expect(refused).toMatchObject({ status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } });
    }
  });

  test("[BBX-108] a token whose first poll is refused is told so", async () => {
    const alice = box.user("alice");
    box.homeserver.intercept = (kind, token) =>
      kind === "sync" && token === alice.token
        ? Response.json({ errcode: "M_UNKNOWN_TOKEN", error: "no" }, { status: 401 })
        : null;
    const refused = await box.ask(alice.token, ALL);
    expect(refused).toMatchObject({
      status: 401,
      body: {
        errcode: "M_UNKNOWN_TOKEN",
        error: "HTTP 401 : EnsurePolling failed: access token invalid or invalidated",
      },
    });
    box.homeserver.intercept = null;
    queue(alice, join(fresh(alice, box.roomId("a"))));
    expect((await box.ask(alice.token, ALL)).status).toBe(200);
  });

  test("[BBX-109] a new token of a device goes on with its connection, also when the old one expires", async () => {
    const alice = box.user("alice", "PHONE");
    const id = box.roomId("a");
    box.homeserver.queue(alice.token, { next_batch: "since-1", ...join(fresh(alice, id)) });
    const first = await box.sync(alice.token, ALL);
    const renewed = { id: alice.id, token: `${alice.token}-renewed` };
    box.homeserver.addToken(renewed.token, alice.id, "PHONE");
    const second = await box.sync(renewed.token, {}, { pos: first.pos });
    box.homeserver.removeToken(alice.token);
    const said = box.say(alice.id, "goes on");
    await box.homeserver.push(renewed.token, { next_batch: "since-2", ...join(joined(id, { timeline: [said] })) });
    const third = await box.ask(renewed.token, {}, { pos: second.pos });
    expect([200, 400]).toContain(third.status);
    expect(third.body.rooms[id]!.timeline).toEqual([said]);
    const refused = await box.ask(alice.token, {}, { pos: third.body.pos });
    expect(refused).toMatchObject({ status: 401, body: { errcode: "M_UNKNOWN_TOKEN" } });
  });

  test("[BBX-110] whoami that fails in other ways is 502, and works afterwards", async () => {
    const alice = box.user("alice");
    for (const status of [403, 404, 500, 502]) {
      box.homeserver.intercept = (kind) => (kind === "whoami" ? Response.json({ errcode: "M_X" }, { status }) : null);
      const refused = await box.ask(alice.token, ALL);
      expect([status, refused.status]).toEqual([status, 502]);
      expect(refused.body.error).toBe(`HTTP 502 : /whoami returned HTTP ${status}`);
    }
    box.homeserver.intercept = null;
    queue(alice, join(fresh(alice, box.roomId("a"))));
    const before = box.homeserver.whoamis;
    expect((await box.ask(alice.token, ALL)).status).toBe(200);
    await box.ask(alice.token, ALL);
    expect(box.homeserver.whoamis - before).toBe(1);
  });

  test("[BBX-111] failing polls are made again from the same since", async () => {
    const alice = box.user("alice");
    const id = box.roomId("a");
    box.homeserver.queue(alice.token, { next_batch: "s1", ...join(fresh(alice, id)) });
    const first = await box.sync(alice.token, ALL);
    const said = box.say(alice.id, "after the trouble");
    await box.homeserver.push(alice.token, { next_batch: "s2" });
    box.homeserver.queue(alice.token, { errcode: "M_UNKNOWN", error: "trouble" }, 500);
    box.homeserver.queue(alice.token, '{"next_batch":"never', 200);
    await box.homeserver.push(alice.token, { next_batch: "s3", ...join(joined(id, { timeline: [said] })) });
    const polls = box.homeserver.pollsOf(alice.token).map((poll) => poll.query.get("since"));
    expect(polls.slice(0, 2)).toEqual([null, "s1"]);
    expect((await box.sync(alice.token, {}, { pos: first.pos })).rooms[id]!.timeline).toEqual([said]);
  });

  test("[BBX-112] a restart loses nothing: since, rooms, and positions", async () => {
    const alice = box.user("alice");
    const [a, b] = [box.roomId("a"), box.roomId("b")];
    box.homeserver.queue(alice.token, { next_batch: "s1", ...join(fresh(alice, a), fresh(alice, b)) });
    let at = await box.sync(alice.token, ALL);
    await box.homeserver.push(alice.token, {
      next_batch: "s2",
      to_device: { events: [{ type: "m.x", sender: "@b:localhost", content: {} }] },
    });
    const before = box.homeserver.pollsOf(alice.token).length;
    await box.restart();
    const said = box.say(alice.id, "after");
    box.homeserver.queue(alice.token, { next_batch: "s3", ...join(joined(a, { timeline: [said] })) });
    at = await box.until(alice.token, {}, at, (answer) => answer.rooms[a]?.timeline !== undefined);
    expect(at.rooms[a]!.timeline).toEqual([said]);
    const polls = box.homeserver.pollsOf(alice.token).slice(before);
    expect(polls.length).toBeGreaterThan(0);
    expect(filterOf(polls[0]!.query)["room"]).toBeDefined();
    const anew = await box.sync(alice.token, { ...ALL, extensions: { to_device: { enabled: true } } });
    expect(anew.lists["a"]!.ops![0]!.room_ids).toEqual([a, b]);
    expect(anew.extensions["to_device"]!["events"]).toHaveLength(1);
  });

  test("[BBX-113] a client that gives up finds its poller ready later, and one poller there is", async () => {
    const alice = box.user("alice");
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    let polls = 0;
    box.homeserver.intercept = async (kind, token) => {
      if (kind !== "sync" || token !== alice.token) return null as unknown as Response;
      polls++;
      if (polls === 1) await held;
      return null as unknown as Response;
    };
    const givesUp = new AbortController();
    const gone = box.ask(alice.token, ALL, { signal: givesUp.signal }).catch(() => "gave up" as const);
    await until("the first poll", () => polls === 1);
    givesUp.abort();
    expect(await gone).toBe("gave up");
    const [one, two] = [box.ask(alice.token, ALL), box.ask(alice.token, { ...ALL, conn_id: "2" })];
    await box.waiting(2);
    await Bun.sleep(200);
    expect(polls).toBe(1);
    queue(alice, join(fresh(alice, box.roomId("a"))));
    release();
    expect([(await one).body.lists["a"]!.count, (await two).body.lists["a"]!.count]).toEqual([1, 1]);
    box.homeserver.intercept = null;
  });

  test("[BBX-114] a slow first sync holds up nobody else", async () => {
    const [slow, quick] = [box.user("slow"), box.user("quick")];
    queue(quick, join(fresh(quick, box.roomId("a"))));
    let release = (): void => undefined;
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    box.homeserver.intercept = async (kind, token) => {
      if (kind === "sync" && token === slow.token) await held;
      return null as unknown as Response;
    };
    const waiting = box.ask(slow.token, ALL, { signal: AbortSignal.timeout(50_000) });
    const answer = await box.ask(quick.token, ALL);
    expect(answer.status).toBe(200);
    queue(slow, join(fresh(slow, box.roomId("b"))));
    release();
    expect((await waiting).status).toBe(200);
    box.homeserver.intercept = null;
  });

  test("[BBX-115] very many rooms, events and windows", async () => {
    const alice = box.user("alice");
    const rooms = Array.from({ length: 300 }, () => box.roomId("many"));
    queue(alice, join(...rooms.map((id) => fresh(alice, id))));
    const first = await box.sync(alice.token, { lists: { a: { ranges: [[0, 1_000_000]], timeline_limit: 1 } } });
    expect(first.lists["a"]!.ops).toEqual([{ op: "SYNC", range: [0, 299], room_ids: [...rooms].reverse() }]);
    expect(Object.keys(first.rooms)).toHaveLength(300);
    const said: CannedEvent[] = Array.from({ length: 60 }, (_, n) => box.say(alice.id, `${n}`));
    await push(alice, join(joined(rooms[0]!, { timeline: said })));
    const second = await box.sync(alice.token, {}, { pos: first.pos });
    expect(second.rooms[rooms[0]!]!.timeline).toEqual(said);
    expect(second.rooms[rooms[0]!]!["num_live"]).toBe(60);
    expect(second.lists["a"]!.ops).toEqual([
      { op: "DELETE", index: 299 },
      { op: "INSERT", index: 0, room_id: rooms[0]! },
    ]);
  });

  test("[BBX-117] a first sync that fails twice is waited for", async () => {
    const alice = box.user("alice");
    box.homeserver.queue(alice.token, { errcode: "M_UNKNOWN", error: "trouble" }, 502);
    box.homeserver.queue(alice.token, "<html>", 200);
    queue(alice, join(fresh(alice, box.roomId("a"))));
    const answer = await box.ask(alice.token, ALL, { signal: AbortSignal.timeout(50_000) });
    expect([answer.status, answer.body.lists["a"]?.count]).toEqual([200, 1]);
  });

  test("[BBX-118] what the homeserver says twice, in parts or after a lost since is heard once", async () => {
    const [alice, bob] = [box.user("alice"), box.user("bob")];
    const room = box.roomId("twice");
    const begin = [...box.beginning(alice.id), box.member(bob.id, "join")];
    const said = ["1", "2", "3", "4", "5", "6"].map((body) => box.say("@x:localhost", body));
    const part = (from: number, to: number): Json => join(joined(room, { timeline: said.slice(from, to) }));
    for (const user of [alice, bob]) queue(user, join(joined(room, { timeline: begin })));
    let [a, b] = [await box.sync(alice.token, ALL), await box.sync(bob.token, ALL)];
    const heard: [string[], string[]] = [[], []];
    const step = async (user: User, body: Json): Promise<void> => {
      await push(user, body);
      a = await box.sync(alice.token, {}, { pos: a.pos });
      b = await box.sync(bob.token, {}, { pos: b.pos });
      heard[0].push(...(a.rooms[room]?.timeline ?? []).map((event) => event.event_id));
      heard[1].push(...(b.rooms[room]?.timeline ?? []).map((event) => event.event_id));
    };
    await step(alice, part(0, 2));
    await step(alice, part(0, 2));
    await step(bob, part(0, 1));
    await step(bob, part(1, 4));
    await step(alice, part(0, 3));
    await step(alice, part(3, 5));
    await step(bob, part(4, 6));
    await step(alice, part(0, 6));
    const all = said.map((event) => event.event_id);
    expect(heard).toEqual([all, all]);
  });

  test("[BBX-116] the process has not crashed a Worker in all that", () => {
    expect(box.server.output.split("\n").filter((line) => /crash|restarting|unhandled|invariant/i.test(line))).toEqual(
      [],
    );
  });
});
