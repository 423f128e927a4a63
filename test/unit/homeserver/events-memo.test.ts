import { describe, expect, test } from "bun:test";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import { EventsMemo } from "#src/homeserver/events-memo.ts";
import { outlineSync, readPiece } from "#src/homeserver/sync-v2.ts";

const ORIGIN = { userId: "@a:hs" as UserId, deviceId: "D" as DeviceId, isFirstSync: false, traceparent: null };
const message = (id: string, more: object = {}) => ({
  event_id: id,
  type: "m.room.message",
  sender: "@b:hs",
  origin_server_ts: 1,
  content: { body: "x".repeat(300) },
  ...more,
});
const bodyOf = (events: readonly unknown[], count = 1): string =>
  JSON.stringify({
    next_batch: "s1",
    rooms: {
      join: {
        "!a:hs": { timeline: { events, prev_batch: `p${count}` }, unread_notifications: { notification_count: count } },
      },
    },
  });

function read(body: string | Uint8Array, memo?: EventsMemo): PollBatch {
  const outline = outlineSync(typeof body === "string" ? Buffer.from(body) : body);
  if (typeof outline === "string") throw new Error(outline);
  return readPiece(outline, ORIGIN, 0, memo === undefined ? {} : { memo }).batch;
}

const timelineOf = ({ rooms: [room] }: PollBatch) => (room?.kind === "join" ? room.timeline : []);

describe("EventsMemo", () => {
  test("[SLI-40] the same bytes are read once, and what differs beside them is not lost", () => {
    const memo = new EventsMemo();
    const bodies = [1, 2].map((count) => bodyOf([message("$1"), message("$2")], count));
    const batches = bodies.map((body) => read(body, memo));
    expect(batches).toEqual(bodies.map((body) => read(body)));
    expect(timelineOf(batches[1] as PollBatch)[0]).toBe(timelineOf(batches[0] as PollBatch)[0] as never);
    expect(timelineOf(batches[1] as PollBatch)).not.toBe(timelineOf(batches[0] as PollBatch));
    const own = bodyOf([message("$1", { unsigned: { transaction_id: "t" } }), message("$2")]);
    expect(timelineOf(read(own, memo))[0]?.txnId).toBe("t");
  });

  test("[SLI-41] lists with something wrong are read, and told of, each time", () => {
    const memo = new EventsMemo();
    const body = bodyOf([{ ...message("$1"), event_id: 7 }, message("$2")]);
    for (let time = 0; time < 2; time += 1) {
      const batch = read(body, memo);
      expect(batch).toEqual(read(body));
      expect(batch.rejected).toHaveLength(1);
    }
    const garbled = Buffer.from(bodyOf([message("$3")]));
    garbled[garbled.indexOf("xxx")] = 0xff;
    for (let time = 0; time < 2; time += 1) expect(read(garbled, memo)).toEqual(read(garbled));
  });

  test("[SLI-42] only so many lists are kept, none that is tiny, and none of large bodies", () => {
    const memo = new EventsMemo();
    expect([memo.takes(100, 1000), memo.takes(1000, 10_000), memo.takes(1000, 1_000_000)]).toEqual([
      false,
      true,
      false,
    ]);
    const list = (n: number) => Buffer.from(`list ${n}`);
    let reads = 0;
    const recall = (n: number) =>
      memo.recall(list(n), () => {
        reads += 1;
        return { events: [], first: "none" };
      });
    for (let n = 0; n < 200; n += 1) recall(n);
    recall(199);
    expect(reads).toBe(200);
    recall(0);
    expect(reads).toBe(201);
  });
});
