import { describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type Json, joined } from "#test/support/black-box.ts";
import type { CannedOptions } from "#test/support/canned-homeserver.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const ALL = { lists: { a: { ranges: [[0, 20]], timeline_limit: 20 } } };
const ok =
  (body: unknown): (() => Response) =>
  () =>
    Response.json(body);

/** Homeservers that suites play, each with habits of its own. */
const RIGS: [string, CannedOptions][] = [
  ["says null at once, hardly holding", { idle: "null", holdMs: 5 }],
  ["says {} after a second", { idle: "{}", holdMs: 1000 }],
  ["says nothing but 200", { idle: "", holdMs: 100 }],
  [
    "knows v3 alone and answers {} to all it does not know",
    {
      prefix: "v3",
      otherwise: (request) => (request.url.includes("/r0/") ? new Response("", { status: 404 }) : Response.json({})),
    },
  ],
  ["knows r0 alone and answers {} to all it does not know", { prefix: "r0", otherwise: ok({}) }],
  [
    "says versions and has v3",
    {
      prefix: "v3",
      otherwise: (request) =>
        request.url.endsWith("/versions")
          ? Response.json({ versions: ["r0.6.1", "v1.1", "v1.9"] })
          : new Response("", { status: 404 }),
    },
  ],
  [
    "says modern versions and has r0 alone",
    {
      prefix: "r0",
      otherwise: (request) =>
        request.url.endsWith("/versions")
          ? Response.json({ versions: ["v1.1"] })
          : new Response("404 page not found", { status: 404 }),
    },
  ],
  ["fails at all it does not know", { otherwise: () => new Response("boom", { status: 500 }) }],
];

describe("a black box behind odd homeservers", () => {
  test.each(RIGS)("[BBX-130] one that %s", async (_name, options) => {
    await using box = await BlackBox.start(options);
    const [alice, bob] = [box.user("alice", ""), box.user("bob", "")];
    const [shared, own] = [box.roomId("shared"), box.roomId("own")];
    const begin = [...box.beginning(alice.id), box.member(bob.id, "join"), box.say(alice.id, "hi")];
    const push = (user: { token: string }, body: Json): Promise<void> => box.homeserver.push(user.token, body);
    const inRoom = (id: string, room: Parameters<typeof joined>[1]): Json => ({
      rooms: { join: Object.fromEntries([joined(id, room)]) },
    });
    const startedMs = performance.now();
    box.homeserver.queue(alice.token, {
      next_batch: "a1",
      rooms: {
        join: Object.fromEntries([
          joined(shared, { timeline: begin }),
          joined(own, { timeline: [...box.beginning(alice.id)] }),
        ]),
      },
    });
    box.homeserver.queue(bob.token, { next_batch: "b1", ...inRoom(shared, { timeline: begin }) });
    let [a, b] = await Promise.all([box.sync(alice.token, ALL), box.sync(bob.token, ALL)]);
    expect([a.lists["a"]!.count, b.lists["a"]!.count]).toEqual([2, 1]);
    for (let n = 0; n < 8; n++) {
      const said = box.say(bob.id, `live ${n}`);
      await push(bob, { next_batch: `b-${n}`, ...inRoom(shared, { timeline: [said] }) });
      await push(alice, { next_batch: `a-${n}`, ...inRoom(shared, { timeline: [said] }) });
      [a, b] = await Promise.all([box.sync(alice.token, {}, { pos: a.pos }), box.sync(bob.token, {}, { pos: b.pos })]);
      expect([a.rooms[shared]?.timeline, b.rooms[shared]?.timeline]).toEqual([[said], [said]]);
    }
    const waiting = box.ask(alice.token, {}, { pos: a.pos, timeoutMs: 40_000 });
    await push(alice, {
      next_batch: "a2",
      rooms: { leave: { [own]: { timeline: { events: [box.member(alice.id, "leave")] } } } },
    });
    const left = await waiting;
    expect([left.body.lists["a"]!.count, left.tookMs < 20_000]).toEqual([1, true]);
    expect((await box.sync(alice.token, ALL)).lists["a"]!.count).toBe(1);
    expect(performance.now() - startedMs).toBeLessThan(40_000);
  });
});
