import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import { errorResponse, type SeenRequest, type Session } from "#test/support/homeserver.ts";

const ALICE = "@alice:test";
const BODY = { lists: { all: { ranges: [[0, 9]], timeline_limit: 20 } } };
const TO_DEVICE = { ...BODY, extensions: { to_device: { enabled: true } } };
const LONG = 100_000;

const filterOf = ({ query }: SeenRequest): { room: { rooms?: string[]; timeline: { limit: number } } } =>
  JSON.parse(query["filter"] ?? "") as { room: { rooms?: string[]; timeline: { limit: number } } };

describe("pollers, over HTTP", () => {
  let rig: FrontRig;

  beforeEach(async () => {
    rig = await FrontRig.start();
    // As a homeserver that has nothing but what its tests play.
    rig.node.homeserver.onRequest(({ pathname }) =>
      pathname.endsWith("/filter") ? Response.json({}, { status: 404 }) : undefined,
    );
  });

  afterEach(() => rig.stop());

  const queue = (session: Session, body: unknown): void => rig.node.homeserver.queueResponse(session, body);
  const syncs = (session: Session): SeenRequest[] => rig.node.homeserver.syncs(session);
  const polled = (session: Session): Promise<SeenRequest> => rig.node.homeserver.waitUntilPolled(session);

  test("[POL-70] first a poll that is not held and takes one event of each room, then long polls with fifty", async () => {
    const alice = rig.account("alice", rig.joined(ALICE, ["a"]));
    await rig.sync(alice, BODY);
    await polled(alice);
    const [first, second] = syncs(alice);
    expect(Object.keys(first?.query ?? {}).slice(0, 3)).toEqual(["timeout", "set_presence", "filter"]);
    expect(first?.query).toMatchObject({ timeout: "0", set_presence: "offline" });
    expect(filterOf(first as SeenRequest)).toEqual({
      presence: { not_types: ["*"] },
      room: { timeline: { limit: 1 } },
    } as never);
    expect(Object.keys(second?.query ?? {}).slice(0, 4)).toEqual(["timeout", "since", "set_presence", "filter"]);
    expect(second?.query).toMatchObject({ timeout: "30000", since: "alice-1" });
    expect(filterOf(second as SeenRequest).room.timeline.limit).toBe(50);
  });

  test("[POL-71] a second device is answered before its own first sync, which asks for no rooms", async () => {
    const phone = rig.account("alice", rig.joined(ALICE, ["a"]), "PHONE");
    await rig.sync(phone, BODY);
    await polled(phone);
    const laptop = rig.node.homeserver.addAccount("alice", "token-laptop", "LAPTOP");
    const answer = await rig.sync(laptop, BODY);
    expect(answer.lists["all"]?.count).toBe(1);
    await polled(laptop);
    const [first] = syncs(laptop);
    expect(first?.query["since"]).toBeUndefined();
    expect(filterOf(first as SeenRequest).room).toEqual({ rooms: [], timeline: { limit: 1 } });
    queue(laptop, { next_batch: "laptop-1" });
    await polled(laptop);
    const second = syncs(laptop).at(-1) as SeenRequest;
    expect(second.query).toMatchObject({ since: "laptop-1", timeout: "30000" });
    expect(filterOf(second).room).toEqual({ timeline: { limit: 50 } });
    const message = rig.message(ALICE, "a", "seen by the laptop first");
    queue(laptop, { next_batch: "laptop-2", ...message });
    const news = await rig.sync(laptop, {}, { pos: answer.pos, timeout: LONG });
    expect(news.rooms?.["!a:test"]?.timeline).toHaveLength(1);
  });

  test("[POL-72] after an answer that is null the next poll is made without since; no message comes twice", async () => {
    const message = { type: "m.test", sender: ALICE, content: { n: 1 } };
    const alice = rig.account("alice", { ...rig.joined(ALICE, ["a"]), to_device: { events: [message] } });
    const first = await rig.sync(alice, TO_DEVICE);
    expect(first.extensions["to_device"]?.["events"]).toEqual([message]);
    await polled(alice);
    queue(alice, null);
    await polled(alice);
    const again = syncs(alice).at(-1) as SeenRequest;
    expect(again.query).toMatchObject({ timeout: "30000" });
    expect(again.query["since"]).toBeUndefined();
    expect(filterOf(again).room).toEqual({ timeline: { limit: 1 } });
    queue(alice, { next_batch: "alice-2", ...rig.message(ALICE, "a", "live") });
    await polled(alice);
    const since = first.extensions["to_device"]?.["next_batch"];
    const second = await rig.sync(
      alice,
      { extensions: { to_device: { enabled: true, since } } },
      { pos: first.pos, timeout: LONG },
    );
    expect(second.rooms?.["!a:test"]?.timeline).toHaveLength(1);
    expect(second.extensions["to_device"]?.["events"] ?? []).toEqual([]);
  });

  test("[POL-73] a room that is new in a poll without since of a device that synced before is told as it happens", async () => {
    const alice = rig.account("alice", rig.joined(ALICE, ["a"]));
    const first = await rig.sync(alice, BODY);
    await polled(alice);
    queue(alice, null);
    await polled(alice);
    queue(alice, { next_batch: "alice-2", ...rig.joined(ALICE, ["b"]) });
    const news = await rig.sync(alice, {}, { pos: first.pos, timeout: LONG });
    expect(news.rooms?.["!b:test"]).toMatchObject({ initial: true, name: "b" });
    expect(news.rooms?.["!b:test"]?.timeline).toHaveLength(1);
    expect(news.lists["all"]?.count).toBe(2);
  });

  test.each([
    ["401", errorResponse(401, "M_UNKNOWN_TOKEN")],
    ["403", errorResponse(403, "M_FORBIDDEN")],
  ] as const)(
    "[POL-74] a token refused with %s is dead: waiting requests end, the next ones are refused",
    async (_status, refusal) => {
      const alice = rig.account("alice", rig.joined(ALICE, ["a"]));
      const first = await rig.sync(alice, BODY);
      await polled(alice);
      const whoami = rig.node.homeserver.onRequest(({ pathname }) =>
        pathname.endsWith("/whoami")
          ? Response.json({ errcode: "M_UNKNOWN_TOKEN", error: "" }, { status: 401 })
          : undefined,
      );
      rig.node.homeserver.queueSync(alice, refusal);
      const isRefused = async (): Promise<boolean> =>
        (await rig.request(alice, { body: {}, pos: first.pos, timeout: 0 })).status === 401;
      while (!(await isRefused())) await rig.node.pass(100);
      expect((await rig.request(alice, { body: BODY })).json["errcode"]).toBe("M_UNKNOWN_TOKEN");
      whoami();
      queue(alice, { next_batch: "alice-2" });
      // A refusal is remembered for a while.
      let back = await rig.request(alice, { body: BODY });
      for (; back.status === 401; back = await rig.request(alice, { body: BODY })) await rig.node.pass(5000);
      expect(back.json["lists"]).toMatchObject({ all: { count: 1 } });
      expect(syncs(alice).at(-1)?.query["since"]).toStartWith("alice-");
    },
  );

  test("[POL-75] several requests wait for one first sync, and all are answered by it", async () => {
    const alice = rig.node.homeserver.addAccount("alice", "token-alice", "PHONE");
    const requests = ["one", "two", "three"].map((conn) => rig.sync(alice, { ...BODY, conn_id: conn }));
    await polled(alice);
    expect(syncs(alice)).toHaveLength(1);
    queue(alice, { next_batch: "alice-1", ...rig.joined(ALICE, ["a"]) });
    for (const answer of await Promise.all(requests)) expect(answer.lists["all"]?.count).toBe(1);
    expect(syncs(alice)[0]?.query["since"]).toBeUndefined();
  });

  test("[POL-76] a first sync that keeps failing ends the wait with an error, and the next request finds it done", async () => {
    const alice = rig.node.homeserver.addAccount("alice", "token-alice", "PHONE");
    for (let attempt = 0; attempt < 4; attempt++) rig.node.homeserver.queueSync(alice, errorResponse(502));
    const failed = await rig.request(alice, { body: BODY });
    expect(failed.status).toBeGreaterThanOrEqual(500);
    queue(alice, { next_batch: "alice-1", ...rig.joined(ALICE, ["a"]) });
    expect((await rig.sync(alice, BODY)).lists["all"]?.count).toBe(1);
  });

  test("[POL-77] malformed and repeated events are left out, odd ones are not, and since moves on", async () => {
    const alice = rig.account("alice", rig.joined(ALICE, ["a"]));
    const first = await rig.sync(alice, BODY);
    const [one, two, odd] = [rig.say(ALICE, "one"), rig.say(ALICE, "two"), rig.event("", ALICE, {})];
    const { event_id: _, ...nameless } = rig.say(ALICE, "no id");
    const { type: __, ...typeless } = rig.say(ALICE, "no type");
    const member = rig.event("m.room.member", "@x:test", {}, "@x:test");
    const events = [one, nameless, { ...two, event_id: one.event_id }, two, typeless, member, 7, null, odd, two];
    await rig.poll(alice, { rooms: { join: { "!a:test": { timeline: { events } } } } });
    const news = await rig.sync(alice, {}, { pos: first.pos, timeout: LONG });
    expect(news.rooms?.["!a:test"]?.timeline).toEqual([one, two, odd]);
    expect(rig.node.metrics.of("sliding_sync_poller_rejected_total")).toBe(5);
  });
});
