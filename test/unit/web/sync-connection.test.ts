import { beforeEach, describe, expect, test } from "bun:test";
import type { SyncCall, ViewQuery } from "#web/model/query.ts";
import type { SyncResponse } from "#web/model/wire.ts";
import type { Answer } from "#web/session/http.ts";
import { SyncConnection, type SyncDeps, type SyncStatus } from "#web/session/sync-connection.ts";

const QUERY: ViewQuery = { filters: {}, sort: "recency", windows: [[0, 19]], openRoom: null, wantsMembers: false };

interface Sent {
  call: SyncCall;
  deadlineMs: number;
  answer: (status: number, json: Record<string, unknown>, retryAfterMs?: number) => Promise<void>;
}

let sent: Sent[];
let statuses: SyncStatus[];
let responses: { pos: string; isNew: boolean }[];
let timers: { ms: number; work: () => void }[];
let deps: SyncDeps;

/** Until everything that follows from what was done has happened. */
const settle = async (): Promise<void> => {
  for (let round = 0; round < 10; round += 1) await Promise.resolve();
};

beforeEach(() => {
  sent = [];
  statuses = [];
  responses = [];
  timers = [];
  deps = {
    send(call, deadlineMs, signal) {
      const { promise, resolve } = Promise.withResolvers<Answer>();
      const make = (status: number, json: Record<string, unknown>, retryAfterMs: number | null): Answer => {
        const isCutShort = signal.aborted;
        return { status, text: JSON.stringify(json), json, durationMs: 1, isCutShort, retryAfterMs };
      };
      signal.addEventListener("abort", () => resolve(make(0, {}, null)));
      sent.push({
        call,
        deadlineMs,
        answer: async (status, json, retryAfterMs) => {
          resolve(make(status, json, retryAfterMs ?? null));
          await settle();
        },
      });
      return promise;
    },
    after(ms, work) {
      timers.push({ ms, work });
      return () => undefined;
    },
    onStatus: (status) => statuses.push(status),
    onResponse: ({ pos }: SyncResponse, isNew) => responses.push({ pos, isNew }),
  };
});

const body = (pos: string): Record<string, unknown> => ({ pos, lists: {}, rooms: {}, extensions: {} });
const posOf = (index: number): string | null => new URLSearchParams(sent[index]?.call.path.split("?")[1]).get("pos");
const listOf = (index: number): unknown =>
  ((sent[index]?.call.body["lists"] ?? {}) as Record<string, unknown>)["rooms"];

describe("SyncConnection", () => {
  test("[CNS-80] asks, and goes on from each answer; the first may take as long as a first sync", async () => {
    const connection = new SyncConnection(deps, "msc3575", "c", QUERY);
    expect([posOf(0), sent[0]?.deadlineMs, sent[0]?.call.path.includes("timeout=0")]).toEqual([null, 1_800_000, true]);
    await sent[0]?.answer(200, body("p1"));
    await sent[1]?.answer(200, body("p2"));
    expect([posOf(1), posOf(2), sent[2]?.deadlineMs]).toEqual(["p1", "p2", 50_000]);
    expect(responses).toEqual([
      { pos: "p1", isNew: true },
      { pos: "p2", isNew: false },
    ]);
    expect(statuses.map(({ kind }) => kind)).toEqual(["starting", "live", "live"]);
    connection.stop();
    await settle();
    expect(sent.length).toBe(3);
  });

  test("[CNS-81] what is wanted now is asked for at once, from the same place, with all parameters", async () => {
    const connection = new SyncConnection(deps, "msc3575", "c", QUERY);
    await sent[0]?.answer(200, body("p1"));
    expect(listOf(1)).toEqual({ ranges: [[0, 19]] });
    connection.ask({ ...QUERY, windows: [[0, 29]] }, false);
    await settle();
    expect([posOf(2), listOf(2)]).toMatchObject(["p1", { ranges: [[0, 29]], sort: ["by_recency"] }]);
    connection.stop();
  });

  test("[CNS-82] a connection that is started over takes nothing of its former life", async () => {
    const connection = new SyncConnection(deps, "v4", "c", QUERY);
    await sent[0]?.answer(200, body("p1"));
    // The answer is on its way when the other question comes.
    const late = sent[1]?.answer(200, body("p2"));
    connection.ask({ ...QUERY, filters: { isDm: true } }, true);
    await late;
    expect(responses.map(({ pos }) => pos)).toEqual(["p1"]);
    expect(sent[2]?.call.body).not.toHaveProperty("pos");
    await sent[2]?.answer(200, body("q1"));
    expect(responses.at(-1)).toEqual({ pos: "q1", isNew: true });
    connection.stop();
  });

  test("[CNS-83] a pos that is not known any more begins anew without waiting", async () => {
    const connection = new SyncConnection(deps, "simplified", "c", QUERY);
    await sent[0]?.answer(200, body("p1"));
    await sent[1]?.answer(400, { errcode: "M_UNKNOWN_POS" });
    expect([posOf(2), timers]).toEqual([null, []]);
    await sent[2]?.answer(200, body("q1"));
    expect(responses.at(-1)).toEqual({ pos: "q1", isNew: true });
    connection.stop();
  });

  test("[CNS-84] failures are waited for, longer each time, as long as the server says; a new wish ends the wait", async () => {
    const connection = new SyncConnection(deps, "simplified", "c", QUERY);
    await sent[0]?.answer(200, body("p1"));
    await sent[1]?.answer(502, {});
    timers[0]?.work();
    await settle();
    await sent[2]?.answer(0, {});
    timers[1]?.work();
    await settle();
    await sent[3]?.answer(429, { errcode: "M_LIMIT_EXCEEDED" }, 7000);
    expect([timers.map(({ ms }) => ms), posOf(3)]).toEqual([[1000, 2000, 7000], "p1"]);
    expect(statuses.at(-1)).toMatchObject({ kind: "retrying", inMs: 7000 });
    connection.ask({ ...QUERY, windows: [[0, 29]] }, false);
    await settle();
    expect(sent.length).toBe(5);
    await sent[4]?.answer(200, body("p2"));
    expect(statuses.at(-1)).toEqual({ kind: "live" });
    connection.stop();
  });

  test("[CNS-85] a token that is refused ends it", async () => {
    const connection = new SyncConnection(deps, "simplified", "c", QUERY);
    await sent[0]?.answer(401, { errcode: "M_UNKNOWN_TOKEN" });
    expect([statuses.at(-1), sent.length]).toEqual([{ kind: "logged out" }, 1]);
    connection.stop();
  });

  test("[CNS-86] rooms that were open are unsubscribed from once, in MSC3575", async () => {
    const connection = new SyncConnection(deps, "msc3575", "c", { ...QUERY, openRoom: "!a" });
    await sent[0]?.answer(200, body("p1"));
    connection.ask({ ...QUERY, openRoom: "!b" }, false);
    await settle();
    expect(sent[2]?.call.body).toMatchObject({ unsubscribe_rooms: ["!a"], room_subscriptions: { "!b": {} } });
    await sent[2]?.answer(200, body("p2"));
    connection.ask({ ...QUERY, openRoom: null }, false);
    await settle();
    expect(sent.at(-1)?.call.body["unsubscribe_rooms"]).toEqual(["!b"]);
    connection.stop();
  });
});
