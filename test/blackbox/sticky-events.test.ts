import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type CannedEvent, type Json, joined } from "#test/support/black-box.ts";
import { SIMPLIFIED_PATH, type WireAnswer } from "#test/support/simplified-connection.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const STICKY = "org.matrix.msc4354.sticky_events";
const MINUTES_MS = 60_000;

describe("a black box's sticky events", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  type User = { id: string; token: string };
  type Asked = { connId?: string; since?: unknown; pos?: string; timeoutMs?: number; filters?: Json };
  const push = (user: User, body: Json): Promise<void> =>
    box.homeserver.push(user.token, { next_batch: `s${box.nextTs()}`, ...body });
  const stick = (sender: string): CannedEvent =>
    box.event(
      "org.example.sticky",
      sender,
      { msc4354_sticky_key: "k" },
      {
        origin_server_ts: Date.now(),
        msc4354_sticky: { duration_ms: 30 * MINUTES_MS },
      },
    );
  const beside = (roomId: string, ...events: CannedEvent[]): Json => ({
    rooms: { join: { [roomId]: { msc4354_sticky: { events } } } },
  });
  const ask = async (
    user: User,
    { connId = "", since, pos, timeoutMs = 20, filters = {} }: Asked = {},
  ): Promise<WireAnswer> => {
    const query = new URLSearchParams({ timeout: String(timeoutMs), ...(pos === undefined ? {} : { pos }) });
    const answer = await box.server.fetch(`${SIMPLIFIED_PATH}?${query}`, {
      method: "POST",
      headers: { authorization: `Bearer ${user.token}` },
      body: JSON.stringify({
        conn_id: connId,
        lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [], filters } },
        extensions: { [STICKY]: { enabled: true, ...(since === undefined ? {} : { since }) } },
      }),
    });
    const body = (await answer.json()) as WireAnswer;
    expect([answer.status, body]).toEqual([200, expect.anything()]);
    return body;
  };
  const eventsOf = (answer: WireAnswer, roomId: string): Partial<CannedEvent>[] =>
    ((told(answer)?.["rooms"] ?? {}) as Record<string, { events: CannedEvent[] }>)[roomId]?.events ?? [];
  const told = ({ extensions }: WireAnswer): Json | undefined => extensions[STICKY];

  test("[STE-32] sticky events are there after the server was killed, in their rooms alone, and tokens and waits go on", async () => {
    const alice = box.user("alice");
    const [room, other] = [box.roomId("a"), box.roomId("b")];
    const begin = (roomId: string): [string, Json] => joined(roomId, { timeline: box.beginning(alice.id) });
    box.homeserver.queue(alice.token, {
      next_batch: "s1",
      rooms: { join: Object.fromEntries([begin(room), begin(other)]) },
    });
    const first = await ask(alice);
    expect(told(first)).toBeUndefined();
    const one = stick("@bob:localhost");
    await push(alice, beside(room, one));
    const second = await ask(alice, { pos: first.pos, timeoutMs: 10_000 });
    const { unsigned, ...same } = eventsOf(second, room)[0] ?? {};
    expect(same).toEqual(one as never);
    expect(unsigned).toEqual({ msc4354_sticky_duration_ttl_ms: expect.any(Number) });
    expect(Object.keys(told(second)?.["rooms"] as Json)).toEqual([room]);
    await box.restart();
    const anew = await ask(alice, { connId: "another" });
    expect(eventsOf(anew, room)).toMatchObject([{ event_id: one.event_id }]);
    const since = told(second)?.["next_batch"];
    const third = await ask(alice, { pos: second.pos, since });
    expect(told(third)).toBeUndefined();
    const two = stick("@bob:localhost");
    const waiting = ask(alice, { pos: third.pos, since, timeoutMs: 30_000 });
    await box.waiting(1);
    await push(alice, beside(other, two));
    const news = await waiting;
    expect(eventsOf(news, other)).toMatchObject([{ event_id: two.event_id }]);
    expect(eventsOf(news, room)).toEqual([]);
  });
  test("[STE-14] what a token passed over because its room was in no list is told after a kill, once, when the room is in one", async () => {
    const alice = box.user("alice");
    const [room, favourite] = [box.roomId("a"), box.roomId("b")];
    const timeline = { timeline: box.beginning(alice.id) };
    const tag = { type: "m.tag", content: { tags: { "m.favourite": {} } } };
    box.homeserver.queue(alice.token, {
      next_batch: "s1",
      rooms: {
        join: Object.fromEntries([joined(room, timeline), joined(favourite, { ...timeline, accountData: [tag] })]),
      },
    });
    const first = await ask(alice);
    const [passed, told1] = [stick("@bob:localhost"), stick("@bob:localhost")];
    const filters = { tags: ["m.favourite"] };
    await push(alice, beside(room, passed));
    await push(alice, beside(favourite, told1));
    const second = await ask(alice, { pos: first.pos, timeoutMs: 10_000, filters });
    expect(Object.keys(told(second)?.["rooms"] as Json)).toEqual([favourite]);
    await box.restart();
    const third = await ask(alice, { pos: second.pos, since: told(second)?.["next_batch"] });
    expect(eventsOf(third, room)).toMatchObject([{ event_id: passed.event_id }]);
    expect(eventsOf(third, favourite)).toEqual([]);
    await box.restart();
    const last = await ask(alice, { pos: third.pos, since: told(third)?.["next_batch"] });
    expect(told(last)).toBeUndefined();
  });
});
