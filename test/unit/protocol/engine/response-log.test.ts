import { describe, expect, test } from "bun:test";
import { requestText, ResponseLog } from "#src/protocol/engine/response-log.ts";

/** Plays requests; each that is processed makes the next response. Answers with the sequence number given out. */
function player(log = new ResponseLog(0), bytes = 1) {
  return (posSeq: number, body: string): number | string => {
    const resolution = log.resolve(posSeq, body);
    if (resolution.kind === "unknown" || resolution.kind === "rewind") return resolution.kind;
    if (resolution.kind === "replay") return resolution.response.seq;
    const seq = log.nextSeq;
    log.add({ seq, pos: `p${seq}`, body: new Uint8Array(bytes), rooms: 0, ops: 0 });
    return resolution.replay?.seq ?? seq;
  };
}

describe("ResponseLog", () => {
  test("[CON-53] retries, changes of mind and acknowledgements give the responses in order", () => {
    const ask = player();
    expect(ask(0, "-")).toBe(1);
    expect(ask(1, "a")).toBe(2);
    expect(ask(1, "b")).toBe(2);
    expect(ask(1, "c")).toBe(2);
    expect(ask(2, "c")).toBe(3);
    expect(ask(3, "c")).toBe(4);
    expect(ask(2, "c")).toBe("unknown");
    // The position of the request that was processed last.
    expect(ask(1, "c")).toBe(3);
    expect(ask(3, "c")).toBe(4);
    expect(ask(4, "c")).toBe(5);
    expect(ask(4, "c")).toBe(5);
  });

  test("[CON-54] a position that was never given out, or was acknowledged, is unknown", () => {
    const ask = player();
    ask(0, "-");
    expect(ask(2, "a")).toBe("unknown");
    expect(ask(1, "a")).toBe(2);
    expect(ask(2, "a")).toBe(3);
    expect(ask(1, "b")).toBe("unknown");
  });

  test("[CON-55] too many unacknowledged responses are dropped, and asked for by starting from the position", () => {
    const ask = player();
    ask(0, "-");
    for (let index = 0; index < 9; index += 1) ask(1, `body ${index}`);
    expect(ask(1, "body 9")).toBe("rewind");
  });

  test("[CON-56] few but huge ones as well", () => {
    const ask = player(new ResponseLog(0), 9 * 1024 * 1024);
    ask(0, "-");
    expect(ask(1, "a")).toBe(2);
    expect(ask(1, "b")).toBe(2);
    expect(ask(1, "c")).toBe("rewind");
  });

  test("[CON-57] a request that failed is processed when it is repeated", () => {
    const log = new ResponseLog(0);
    const ask = player(log);
    ask(0, "-");
    expect(log.resolve(1, "a").kind).toBe("process");
    log.refuse();
    expect(log.resolve(1, "a")).toEqual({ kind: "process", replay: null });
  });

  test("[CON-59] a request that is refused leaves the one before it to be repeated", () => {
    const log = new ResponseLog(0);
    const ask = player(log);
    ask(0, "-");
    expect(ask(1, "a")).toBe(2);
    expect(log.resolve(1, "refused").kind).toBe("process");
    log.refuse();
    expect(ask(1, "a")).toBe(2);
    expect(log.nextSeq).toBe(3);
    expect(ask(2, "a")).toBe(3);
  });

  test("[CON-58] one taken up from storage knows the response the client has", () => {
    const ask = player(new ResponseLog(41));
    expect(ask(40, "a")).toBe("unknown");
    expect(ask(41, "a")).toBe(42);
  });
});

describe("requestText", () => {
  test("[CON-80] is the same for all that ask for the same, and for nothing else", () => {
    const text = requestText({ txn_id: "t", lists: { b: { sort: ["by_name"] }, a: {} }, room_subscriptions: {} });
    expect(requestText({ lists: { a: {}, b: { sort: ["by_name"] } }, room_subscriptions: {} })).toBe(text);
    expect(requestText({ lists: { a: {}, b: { sort: ["by_recency"] } }, room_subscriptions: {} })).not.toBe(text);
    expect(requestText({ lists: { a: {}, b: { sort: ["by_name"] } } })).not.toBe(text);
    const rooms = (ids: string[]) => requestText({ room_subscriptions: Object.fromEntries(ids.map((id) => [id, {}])) });
    expect(rooms(["!b", "!a", "__proto__"])).toBe(rooms(["__proto__", "!a", "!b"]));
    expect(requestText({ unsubscribe_rooms: ["!a", "!b"] })).not.toBe(requestText({ unsubscribe_rooms: ["!b", "!a"] }));
  });
});
