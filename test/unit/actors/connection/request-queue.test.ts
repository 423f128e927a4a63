import { beforeEach, describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { SyncAnswer } from "#actors/connection/messages.ts";
import type { Arrival } from "#actors/connection/current-request.ts";
import { RequestQueue } from "#actors/connection/request-queue.ts";

let arrived: Arrival[];
let queue: RequestQueue;
let answers: string[];

beforeEach(() => {
  arrived = [];
  answers = [];
  queue = new RequestQueue({
    nowMs: () => 0,
    emptyResponse: (pos) => ({ pos: `empty ${pos}`, body: new Uint8Array(), rooms: 0, ops: 0 }),
    arrive: (arrival) => {
      arrived.push(arrival);
      queue.take(arrival);
    },
  });
});

/** A request that notes how it was answered. */
const request = (requestId: number): Arrival => ({
  claims: null,
  trace: null,
  command: {
    type: "sync-request",
    userId: "@a:hs" as UserId,
    deviceId: "D" as DeviceId,
    connId: "" as ConnId,
    dialect: "msc3575",
    pos: `p${requestId}`,
    timeoutMs: 0,
    request: {},
    requestId,
    reply: {
      resolve: ({ posOut }: SyncAnswer) => void answers.push(`${requestId}: ${posOut}`),
      reject: ({ code }) => void answers.push(`${requestId}: ${code}`),
    },
  },
});

const response = (pos: string) => ({ seq: 1, pos, body: new Uint8Array(), rooms: 0, ops: 0 });

describe("RequestQueue", () => {
  test("[CON-107] one is served, one waits; a newer one takes the place of one that was not processed", () => {
    expect(queue.take(request(1))).toBe(true);
    expect(queue.take(request(2))).toBe(true);
    expect(answers).toEqual(["1: empty p1"]);
    queue.current!.phase = "working";
    expect(queue.take(request(3))).toBe(false);
    expect(queue.take(request(4))).toBe(false);
    expect(answers).toEqual(["1: empty p1", "3: empty p3"]);
    queue.answer(response("done"));
    expect(answers.at(-1)).toBe("2: done");
    expect(arrived.map(({ command }) => command.requestId)).toEqual([4]);
    expect([queue.current?.command.requestId, queue.hasNext]).toEqual([4, false]);
  });

  test("[CON-108] whoever hangs up leaves; what is being made is finished, and nobody is left waiting", () => {
    queue.take(request(1));
    queue.current!.phase = "working";
    queue.cancel(1);
    expect(queue.current?.command.requestId).toBe(1);
    queue.take(request(2));
    queue.cancel(2);
    expect(queue.hasNext).toBe(false);
    queue.take(request(3));
    // What it rested on is gone, and before it is begun anew its client goes too.
    queue.current!.restart(0);
    queue.cancel(1);
    expect(queue.current?.command.requestId).toBe(3);
    queue.cancel(99);
    expect(queue.current?.command.requestId).toBe(3);
    queue.cancel(3);
    expect(queue.current).toBeNull();
    expect(answers).toEqual(["2: empty p2", "1: empty p1", "3: empty p3"]);
  });

  test("[CON-109] the end refuses both, and serves nobody more", () => {
    queue.take(request(1));
    queue.current!.phase = "working";
    queue.take(request(2));
    queue.refuseAll(new SyncError("unknown_pos", "over"));
    expect(answers).toEqual(["1: unknown_pos", "2: unknown_pos"]);
    expect(arrived).toEqual([]);
    queue.answer(response("late"));
    expect(answers).toHaveLength(2);
  });
});
