import { describe, expect, test } from "bun:test";
import { packReceipts } from "#src/protocol/receipts.ts";

const receipt = (
  userId: string,
  eventId: string,
  part: { threadId?: string; isPrivate?: boolean; ts?: number } = {},
) => ({
  userId,
  eventId,
  threadId: "",
  isPrivate: false,
  ts: 1,
  ...part,
});

const parsed = (...receipts: ReturnType<typeof receipt>[]): unknown => JSON.parse(packReceipts(receipts));

describe("packReceipts", () => {
  test("[RCT-1] one event for the room, by event, type and user", () => {
    expect(
      parsed(
        receipt("@a:hs", "$1", { ts: 5 }),
        receipt("@b:hs", "$1", { ts: 6, threadId: "$root" }),
        receipt("@b:hs", "$2", { ts: 7, isPrivate: true, threadId: "main" }),
      ),
    ).toEqual({
      type: "m.receipt",
      content: {
        $1: { "m.read": { "@a:hs": { ts: 5 }, "@b:hs": { ts: 6, thread_id: "$root" } } },
        $2: { "m.read.private": { "@b:hs": { ts: 7, thread_id: "main" } } },
      },
    });
  });

  test("[RCT-2] unthreaded wins over threaded, whichever comes first (MSC4102)", () => {
    const threaded = receipt("@a:hs", "$1", { ts: 9, threadId: "$root" });
    const unthreaded = receipt("@a:hs", "$1", { ts: 2 });
    const expected = { type: "m.receipt", content: { $1: { "m.read": { "@a:hs": { ts: 2 } } } } };
    expect(parsed(threaded, unthreaded)).toEqual(expected);
    expect(parsed(unthreaded, threaded)).toEqual(expected);
  });

  test("[RCT-3] of two threads the later receipt stands", () => {
    const early = receipt("@a:hs", "$1", { ts: 2, threadId: "$x" });
    const late = receipt("@a:hs", "$1", { ts: 3, threadId: "$y" });
    const expected = { type: "m.receipt", content: { $1: { "m.read": { "@a:hs": { ts: 3, thread_id: "$y" } } } } };
    expect(parsed(early, late)).toEqual(expected);
    expect(parsed(late, early)).toEqual(expected);
  });

  test("[RCT-4] public and private receipts do not replace each other; odd ids stay keys", () => {
    const text = packReceipts([
      receipt("__proto__", '$"1'),
      receipt("__proto__", '$"1', { isPrivate: true, threadId: "t" }),
    ]);
    expect(text).toBe(
      '{"type":"m.receipt","content":{"$\\"1":{"m.read":{"__proto__":{"ts":1}},"m.read.private":{"__proto__":{"ts":1,"thread_id":"t"}}}}}',
    );
  });

  test("[RCT-5] no receipts, no content", () => {
    expect(packReceipts([])).toBe('{"type":"m.receipt","content":{}}');
  });
});
