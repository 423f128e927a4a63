import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readSyncRequest } from "#src/protocol/dialects/msc3575-request.ts";
import { parseRequestJson } from "#src/protocol/request-json.ts";
import { type FrontAnswer, FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import { NaiveClient, type WireResponse } from "#test/support/naive-client.ts";
import { GO_REQUEST, RECORDED_ROOMS, SDK_REQUESTS } from "#test/support/recorded-requests.ts";
import { mutated } from "#test/support/request-mutations.ts";

/** More with FUZZ_RUNS in the environment. */
const RUNS = Number(process.env["FUZZ_RUNS"] ?? 60);
const TEST_MS = 60_000 + RUNS * 500;
const ALICE = "@alice:test";
const WINDOW = [0, 9] as const;
/** What sets a connection right, whatever was asked of it. */
const WHOLE = { ranges: [WINDOW], sort: ["by_recency"], filters: {}, timeline_limit: 3, slow_get_all_rooms: false };
const REFUSALS = new Set(["M_NOT_JSON", "M_BAD_JSON", "M_INVALID_PARAM", "M_UNKNOWN_POS", "M_TOO_LARGE"]);

interface Step {
  body: string;
  pos: "current" | "none" | "previous" | "odd";
  timeout: string | null;
  hangsUp: boolean;
  /** The next one is sent without waiting for this one. */
  overlaps: boolean;
  /** Something happens in one of the rooms first. */
  news: number | null;
}

const step: fc.Arbitrary<Step> = fc.record({
  body: mutated([...SDK_REQUESTS, GO_REQUEST]),
  pos: fc.constantFrom("current", "current", "current", "current", "none", "previous", "odd"),
  timeout: fc.constantFrom(null, "0", "0", "0", "100", "200", "-7", "", "x", "1e3", "007", "0x1"),
  hangsUp: fc.constantFrom(false, false, false, false, true),
  overlaps: fc.constantFrom(false, false, false, true),
  news: fc.option(fc.nat(RECORDED_ROOMS.length - 1)),
});

function isRefused(text: string): boolean {
  try {
    readSyncRequest(text === "" ? {} : parseRequestJson(text));
    return false;
  } catch {
    return true;
  }
}

describe("any requests", () => {
  let rig: FrontRig;
  let alice: Session;
  let said = 0;

  beforeAll(async () => {
    rig = await FrontRig.start();
    alice = rig.account("alice", rig.joined(ALICE, ["c", "b", "a"]));
  });

  afterAll(() => rig.stop());

  /** One client on the connection "" that plays the steps, and knows what it may be told. */
  async function play(steps: readonly Step[]): Promise<string | null> {
    let pos: string | null = null;
    let previous = "";
    const overlapping: Promise<void>[] = [];
    for (const { body, pos: which, timeout, hangsUp, overlaps, news } of steps) {
      if (news !== null) await say(news);
      const wanted: Record<Step["pos"], string | null> = { current: pos, none: null, previous, odd: "odd.1.2.3.4" };
      const query = { ...(wanted[which] === null ? {} : { pos: wanted[which] }), timeout: timeout ?? "0" };
      const controller = new AbortController();
      const asked = rig.request(alice, { body, ...query, signal: controller.signal });
      if (hangsUp) setImmediate(() => controller.abort());
      const answered = take(asked, controller.signal, (posOut) => {
        previous = pos ?? "";
        pos = posOut;
      });
      if (overlaps) overlapping.push(answered);
      else await answered;
    }
    await Promise.all(overlapping);
    return pos;
  }

  /** The connection takes a new list, however it was treated, or says that it is to be started over. */
  async function isAlive(lastPos: string | null): Promise<void> {
    const body = { lists: { check: { ranges: [WINDOW] } } };
    let pos = lastPos;
    for (let unacknowledged = 0; unacknowledged < 10; unacknowledged += 1) {
      const { status, json } = await rig.request(alice, { body, timeout: "0", ...(pos === null ? {} : { pos }) });
      check(status, json);
      if (status !== 200) {
        expect(json["errcode"]).toBe("M_UNKNOWN_POS");
        return;
      }
      const list = (json["lists"] as WireResponse["lists"])["check"];
      if (list !== undefined) {
        expect(list.count).toBe(RECORDED_ROOMS.length);
        return;
      }
      pos = String(json["pos"]);
    }
    throw new Error("the connection does not take a new list");
  }

  async function take(asked: Promise<FrontAnswer>, signal: AbortSignal, onPos: (pos: string) => void): Promise<void> {
    const answer = await asked.catch(() => null);
    if (answer === null) {
      expect(signal.aborted).toBe(true);
      return;
    }
    check(answer.status, answer.json);
    expect(answer.headers.get("content-type")).toBe("application/json");
    if (answer.status === 200) onPos(String(answer.json["pos"]));
  }

  async function say(room: number): Promise<void> {
    said += 1;
    const name = RECORDED_ROOMS[room]?.slice(1, 2) ?? "a";
    await rig.poll(alice, rig.message(ALICE, name, `message ${said}`));
  }

  function check(status: number, json: Record<string, unknown>): void {
    if (status === 200) {
      expect(json).toMatchObject({ pos: expect.any(String), lists: {}, rooms: {}, extensions: {} });
      for (const { count } of Object.values(json["lists"] as WireResponse["lists"])) expect(count).toBeGreaterThan(-1);
      return;
    }
    expect([400, 413]).toContain(status);
    expect(REFUSALS).toContain(String(json["errcode"]));
    expect(json["error"]).toStartWith(`HTTP ${status} : `);
  }

  /** The connections of an honest client and of one that is new agree. */
  async function agree(client: NaiveClient, connId: string): Promise<void> {
    await say(said % RECORDED_ROOMS.length);
    client.apply(await rig.sync(alice, { conn_id: connId }, { pos: client.pos ?? "" }));
    const anew = new NaiveClient();
    anew.apply(await rig.sync(alice, { conn_id: "anew", lists: { all: WHOLE } }));
    expect(client.problems).toEqual([]);
    expect(client.window("all", [WINDOW])).toEqual(anew.window("all", [WINDOW]));
    for (const roomId of RECORDED_ROOMS) {
      const last = (of: NaiveClient) => of.rooms.get(roomId)?.timeline.at(-1)?.event_id;
      expect(last(client)).toBe(last(anew));
    }
  }

  test(
    "[REQ-17] whatever clients send, nothing crashes, nothing hangs, and other connections go on as if nothing was",
    async () => {
      const honest = new NaiveClient();
      honest.apply(await rig.sync(alice, { conn_id: "honest", lists: { all: WHOLE } }));
      await fc.assert(
        fc.asyncProperty(fc.array(step, { minLength: 1, maxLength: 12 }), async (steps) => {
          await isAlive(await play(steps));
          await agree(honest, "honest");
          await rig.waiting(0);
        }),
        { numRuns: RUNS, endOnFailure: true },
      );
      for (const kind of ["connection", "user", "gateway", "directory"]) expect(rig.node.crashesOf(kind)).toBe(0);
      expect(rig.node.lines.filter(({ level }) => level === "error")).toEqual([]);
      expect(rig.node.nodes.escalations).toEqual([]);
    },
    TEST_MS,
  );

  test(
    "[CON-103] a connection goes on through requests that are refused, repeated and hung up on: its client lacks nothing",
    async () => {
      const refused = mutated([...SDK_REQUESTS, GO_REQUEST]).filter(isRefused);
      const round = fc.record({
        refused: fc.array(refused, { maxLength: 3 }),
        again: fc.boolean(),
        hangsUp: fc.boolean(),
      });
      await fc.assert(
        fc.asyncProperty(fc.array(round, { minLength: 1, maxLength: 5 }), async (rounds) => {
          const client = new NaiveClient();
          client.apply(await rig.sync(alice, { lists: { all: WHOLE } }));
          for (const { refused: bodies, again, hangsUp } of rounds) {
            const pos = client.pos ?? "";
            await say(said % RECORDED_ROOMS.length);
            for (const body of bodies) {
              const { status } = await rig.request(alice, { body, pos });
              expect([400, 413]).toContain(status);
            }
            if (hangsUp) {
              const controller = new AbortController();
              const lost = rig.request(alice, { pos, timeout: "0", signal: controller.signal }).catch(() => null);
              setImmediate(() => controller.abort());
              await lost;
            }
            const answer = await rig.sync(alice, {}, { pos });
            if (again) expect(await rig.sync(alice, {}, { pos })).toEqual(answer);
            client.apply(answer);
          }
          await agree(client, "");
        }),
        { numRuns: RUNS, endOnFailure: true },
      );
    },
    TEST_MS,
  );
});
