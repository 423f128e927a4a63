import { describe, expect, test } from "bun:test";
import { LONGEST_HOLD_SECS, PROBE_HEADER, TRICKLE, withProbes } from "#src/http/probes.ts";
import { RecordingMetrics } from "#test/support/recording.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const SYNC = "http://matrix.example.org/_matrix/client/v4/sync";
const MARK = "a1b2c3d4e5";

function rig(isForwarding = false) {
  const time = new VirtualTime();
  const asked: string[] = [];
  const metrics = new RecordingMetrics();
  const handle = withProbes(
    (request) => {
      asked.push(request.method);
      return Response.json({ answered: true });
    },
    { clock: time, timers: time, isForwarding, metrics },
  );
  const ask = async (probe: string | null, init: RequestInit = {}, url = SYNC): Promise<Response> => {
    const headers = new Headers(init.headers);
    if (probe !== null) headers.set(PROBE_HEADER, probe);
    return handle(new Request(url, { method: "POST", ...init, headers }));
  };
  return { time, asked, ask, metrics };
}

describe("withProbes", () => {
  test("[PRB-1] an answer is marked as it was asked to be, whatever it is, and no other is", async () => {
    const { ask } = rig();
    expect((await ask(MARK)).headers.get(PROBE_HEADER)).toBe(MARK);
    const elsewhere = await ask(MARK, { method: "GET" }, "http://matrix.example.org/_matrix/client/versions");
    expect(elsewhere.headers.get(PROBE_HEADER)).toBe(MARK);
    expect(await elsewhere.json()).toEqual({ answered: true });
    expect((await ask(null)).headers.get(PROBE_HEADER)).toBeNull();
  });

  test("[PRB-2] what is no probe is an ordinary request", async () => {
    const { ask, asked } = rig();
    const words = [
      "short",
      `${MARK} shout`,
      `${MARK}  echo`,
      `${MARK} hold`,
      `${MARK} hold 999`,
      "x".repeat(33),
      "<script>1",
    ];
    for (const word of words) {
      const answer = await ask(word);
      expect([word, await answer.json(), answer.headers.get(PROBE_HEADER)]).toEqual([word, { answered: true }, null]);
    }
    // Probes act on the paths and with the method of real requests alone.
    await ask(`${MARK} hold 60`, { method: "GET" });
    await ask(`${MARK} hold 60`, {}, "http://matrix.example.org/client/server.json");
    expect(asked).toHaveLength(words.length + 2);
  });

  test("[PRB-3] an echo says what arrived, and nothing of anybody else", async () => {
    const { ask, time } = rig(true);
    const headers = {
      host: "matrix.example.org",
      authorization: "Bearer syt_secret",
      cookie: "c=secret",
      "x-forwarded-for": "192.0.2.1, 10.0.0.7",
      "x-forwarded-proto": "https",
    };
    const answer = await ask(`${MARK} echo`, { headers, body: "x".repeat(300) }, `${SYNC}?a=%2F%23+%C3%A9`);
    expect(answer.headers.get("access-control-allow-origin")).toBe("*");
    const text = await answer.text();
    expect(JSON.parse(text)).toEqual({
      probe: "echo",
      target: "/_matrix/client/v4/sync?a=%2F%23+%C3%A9",
      host: "matrix.example.org",
      forwarded_proto: "https",
      forwarded_for: 2,
      has_authorization: true,
      body_bytes: 300,
      is_forwarding: true,
      now_ms: time.now(),
    });
    for (const word of ["secret", "192.0.2.1", "10.0.0.7", "syt_"]) expect(text).not.toContain(word);
  });

  test("[PRB-4] an echo takes no larger a body than a sync does", async () => {
    const { ask } = rig();
    const body = "x".repeat(1024 * 1024 + 1);
    const answer = await ask(`${MARK} echo`, { body, headers: { "content-length": String(body.length) } });
    expect(answer.status).toBe(413);
    expect(await answer.json()).toMatchObject({ errcode: "M_TOO_LARGE" });
    const chunks = new ReadableStream({
      start(controller) {
        controller.enqueue(new TextEncoder().encode(body));
        controller.close();
      },
    });
    expect((await ask(`${MARK} echo`, { body: chunks })).status).toBe(413);
  });

  test("[PRB-5] a held probe is answered after its time, and no later than the limit", async () => {
    const { ask, time } = rig();
    let isOver = false;
    const asking = ask(`${MARK} hold 99`).finally(() => (isOver = true));
    await time.advance(LONGEST_HOLD_SECS * 1000 - 1);
    expect(isOver).toBe(false);
    await time.advance(1);
    expect(await (await asking).json()).toEqual({ probe: "hold", seconds: LONGEST_HOLD_SECS });
    expect((await asking).headers.get(PROBE_HEADER)).toBe(MARK);
    expect(time.pendingCount).toBe(0);
  });

  test("[PRB-6] only a handful is held at once; who leaves makes room", async () => {
    const { ask, time } = rig();
    const leaving = new AbortController();
    const held = Array.from({ length: 15 }, () => ask(`${MARK} hold 60`));
    const left = ask(`${MARK} hold 60`, { signal: leaving.signal });
    const refused = await ask(`${MARK} hold 60`);
    expect(refused.status).toBe(429);
    expect(await refused.json()).toMatchObject({ errcode: "M_LIMIT_EXCEEDED" });
    expect((await ask(`${MARK} trickle`)).status).toBe(429);
    leaving.abort();
    expect((await left).status).toBe(499);
    // So does who had left before.
    expect((await ask(`${MARK} hold 60`, { signal: AbortSignal.abort() })).status).toBe(499);
    const next = ask(`${MARK} hold 1`);
    await time.advance(1000);
    expect((await next).status).toBe(200);
    await time.advance(LONGEST_HOLD_SECS * 1000);
    expect((await Promise.all(held)).map(({ status }) => status)).toEqual(Array(15).fill(200));
  });

  test("[PRB-9] probes are counted, those that are refused apart", async () => {
    const { ask, time, metrics } = rig();
    const count = (kind: string, result: string): number => metrics.of("probes_total", { kind, result });
    await ask(MARK);
    await ask(`${MARK} echo`);
    const held = Array.from({ length: 16 }, () => ask(`${MARK} hold 60`));
    await ask(`${MARK} hold 60`);
    await ask(`${MARK} trickle`);
    await ask(null);
    await time.advance(60_000);
    await Promise.all(held);
    expect(["mark", "echo", "hold", "trickle"].map((kind) => [count(kind, "taken"), count(kind, "refused")])).toEqual([
      [1, 0],
      [1, 0],
      [16, 1],
      [0, 1],
    ]);
  });

  test("[PRB-7] a trickle comes piece by piece", async () => {
    const { ask, time } = rig();
    const answer = await ask(`${MARK} trickle`);
    const reader = answer.body?.getReader();
    const pieces: string[] = [];
    for (let index = 0; index < TRICKLE.pieces; index += 1) {
      const { value } = (await reader?.read()) ?? {};
      pieces.push(new TextDecoder().decode(value));
      await time.advance(TRICKLE.everyMs);
    }
    expect(pieces).toEqual(Array(TRICKLE.pieces).fill("drop\n"));
    expect((await reader?.read())?.done).toBe(true);
    expect(time.pendingCount).toBe(0);
  });
});
