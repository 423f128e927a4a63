import { afterAll, describe, expect, test } from "bun:test";
import { BlackBox, joined, response } from "#test/support/black-box.ts";

const LIMIT_MS = 120_000;
const cleanup = new AsyncDisposableStack();
afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

const list = (end: number): Record<string, unknown> => ({
  lists: { all: { ranges: [[0, end]], timeline_limit: 1, required_state: [] } },
});

describe("limits", () => {
  test(
    "[LIM-30] a device that asks too much is told 429 and when to come back; one that recovers or waits is not",
    async () => {
      const box = cleanup.use(await BlackBox.start({}, { SYNCV3_RATE_LIMIT: "1", SYNCV3_RATE_BURST: "20" }));
      const user = box.user("wild");
      const roomId = box.roomId("wild");
      box.homeserver.queue(
        user.token,
        response([joined(roomId, { state: box.beginning(user.id) })], { next_batch: "s1" }),
      );
      let { pos } = await box.sync(user.token, list(0));
      let refused = null;
      for (let n = 1; n < 40 && refused === null; n += 1) {
        const answer = await box.ask(user.token, list(n), { pos, timeoutMs: 0 });
        if (answer.status === 200) pos = answer.body.pos;
        else refused = answer;
      }
      expect(refused?.status).toBe(429);
      expect(refused?.body.errcode).toBe("M_LIMIT_EXCEEDED");
      const seconds = Number(refused?.headers.get("retry-after"));
      expect(seconds).toBeGreaterThan(0);
      expect(refused?.body).toHaveProperty("retry_after_ms", seconds * 1000);
      expect(refused?.headers.get("access-control-allow-origin")).toBe("*");

      // Nothing of it was lost: what it asked for last goes on, waits for news, and gets them.
      const again = await box.ask(user.token, list(500), { pos });
      expect(again.status).toBe(429);
      await Bun.sleep(seconds * 1000);
      const back = await box.sync(user.token, {}, { pos, timeoutMs: 50 });
      const waiting = box.sync(user.token, {}, { pos: back.pos, timeoutMs: 10_000 });
      box.homeserver.queue(
        user.token,
        response([joined(roomId, { timeline: [box.say(user.id, "news")] })], { next_batch: "s2" }),
      );
      expect(Object.keys((await waiting).rooms)).toEqual([roomId]);

      // A client that is sent back to its beginning gets there, whatever it did before.
      for (let n = 0; n < 25; n += 1) await box.ask(user.token, list(n), { timeoutMs: 0 });
      expect((await box.ask(user.token, list(1), { timeoutMs: 0 })).status).toBe(429);
      expect((await box.ask(user.token, list(1), { pos: "nonsense" })).body.errcode).toBe("M_UNKNOWN_POS");
      expect((await box.ask(user.token, list(1), { timeoutMs: 0 })).status).toBe(200);

      // Nobody else noticed.
      const other = box.user("other");
      box.homeserver.queue(other.token, response([], { next_batch: "s1" }));
      expect((await box.ask(other.token, list(1))).status).toBe(200);
    },
    LIMIT_MS,
  );

  test(
    "[LIM-32] a client gone wild, that asks the same in a circle without waiting, is told 429; the moment it waits it is served",
    async () => {
      const box = cleanup.use(await BlackBox.start({}, { SYNCV3_RATE_LIMIT: "1", SYNCV3_RATE_BURST: "20" }));
      const user = box.user("circling");
      const roomId = box.roomId("circling");
      box.homeserver.queue(
        user.token,
        response([joined(roomId, { state: box.beginning(user.id) })], { next_batch: "s1" }),
      );
      let { pos } = await box.sync(user.token, list(0));
      let refusals = 0;
      for (let n = 0; n < 60; n += 1) {
        const answer = await box.ask(user.token, list(0), { pos, timeoutMs: 0 });
        if (answer.status === 200) pos = answer.body.pos;
        else {
          expect([answer.status, answer.body.errcode]).toEqual([429, "M_LIMIT_EXCEEDED"]);
          refusals += 1;
        }
      }
      expect(refusals).toBeGreaterThan(10);
      // Another thing is refused as often as it is asked for.
      for (let n = 0; n < 3; n += 1) expect((await box.ask(user.token, list(7), { pos })).status).toBe(429);
      const waiting = box.sync(user.token, list(0), { pos, timeoutMs: 10_000 });
      box.homeserver.queue(
        user.token,
        response([joined(roomId, { timeline: [box.say(user.id, "news")] })], { next_batch: "s2" }),
      );
      expect(Object.keys((await waiting).rooms)).toEqual([roomId]);
    },
    LIMIT_MS,
  );

  test(
    "[LIM-31] who is not served is told so, polled for nothing and not remembered, before and after a restart",
    async () => {
      const box = cleanup.use(await BlackBox.start({}, { SYNCV3_DENY: "@evil*:localhost" }));
      const evil = box.user("evil");
      const good = box.user("good");
      box.homeserver.queue(good.token, response([], { next_batch: "s1" }));
      for (let tries = 0; tries < 2; tries += 1) {
        const answer = await box.ask(evil.token, list(1));
        expect([answer.status, answer.body.errcode]).toEqual([403, "M_FORBIDDEN"]);
        expect(answer.body.error).toContain("ask the operator");
        expect((await box.ask(good.token, list(1))).status).toBe(200);
        await box.restart();
      }
      expect(box.homeserver.seen.filter(({ token }) => token === evil.token)).toEqual([]);
    },
    LIMIT_MS,
  );
});
