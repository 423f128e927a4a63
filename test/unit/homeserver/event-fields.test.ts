import { describe, expect, test } from "bun:test";
import type { EventFields } from "#src/protocol/events.ts";
import { readEvent } from "#test/support/read-event.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

function take(text: string): EventFields {
  const event = readEvent(encode(text));
  if (typeof event === "string") throw new Error(`refused: ${event}`);
  return event;
}

const wrap = (members: string): string => `{"event_id":"$e","type":"m.x","sender":"@a:hs",${members}}`;

describe("readEvent", () => {
  test("[EVT-1] extracts the fields of a message and keeps its bytes", () => {
    const text =
      ' { "type":"m.room.message" ,"content":{"n":12345678901234567890},"event_id":"$1","sender":"@a:hs","origin_server_ts":1700000000001 }';
    expect(take(text)).toEqual({
      id: "$1",
      type: "m.room.message",
      stateKey: null,
      sender: "@a:hs",
      ts: 1_700_000_000_001,
      membership: null,
      prevMembership: null,
      redacts: null,
      replacesState: null,
      txnId: null,
      json: encode(text.trim()),
    } as unknown as EventFields);
  });

  test("[EVT-2] extracts membership, the one before, and the event it replaces", () => {
    const event = take(
      '{"event_id":"$1","type":"m.room.member","state_key":"@b:hs","sender":"@a:hs","content":{"membership":"ban"},"unsigned":{"prev_content":{"membership":"join"},"replaces_state":"$0"}}',
    );
    expect(event).toMatchObject({ stateKey: "@b:hs", membership: "ban", prevMembership: "join", replacesState: "$0" });
  });

  test("[EVT-3] takes the redacted event from the top level, else from the content", () => {
    const at = (members: string): string | null =>
      take(`{"event_id":"$1","type":"m.room.redaction","sender":"@a:hs",${members}}`).redacts;
    expect(at('"redacts":"$top","content":{"redacts":"$in"}')).toBe("$top");
    expect(at('"content":{"redacts":"$in"}')).toBe("$in");
    expect(at('"content":{}')).toBeNull();
    expect(take(wrap('"redacts":"$x"')).redacts).toBeNull();
  });

  test("[EVT-4] the last of repeated keys counts, escaped keys count as what they say, bytes stay", () => {
    const text = String.raw`{"event_id":"$0","type":"m.a","\u0074ype":"m.b","event_id":"$1","sender":"@a:hs","constructor":1,"\u0063onstructor":2}`;
    const event = take(text);
    expect(event).toMatchObject({ id: "$1", type: "m.b" });
    expect(decode(event.json)).toBe(text);
  });

  test("[EVT-5] valid but odd events are taken", () => {
    expect(take('{"event_id":"$1","type":""}')).toMatchObject({ type: "", sender: "", ts: 0 });
    expect(take(wrap('"state_key":null')).stateKey).toBeNull();
    expect(take(wrap('"state_key":""')).stateKey).toBe("");
    expect(
      take('{"event_id":"$1","type":"m.room.member","state_key":"@a:hs","content":{"membership":"odd"}}'),
    ).toMatchObject({
      membership: null,
    });
    expect(take('{"event_id":"$1","type":"m.room.member","state_key":"","content":{}}').stateKey).toBe("");
    // A literal backslash-u0000 is not a NUL.
    expect(take(String.raw`{"event_id":"$1","type":"a\\u0000"}`).type).toBe(String.raw`a\u0000`);
    expect(take(wrap(String.raw`"content":{"body":"\u0000\ud800"}`)).id as string).toBe("$e");
  });

  test.each([
    ["origin_server_ts", "1e3", 1000],
    ["origin_server_ts", "12.9", 12],
    ["origin_server_ts", "-5", 0],
    ["origin_server_ts", '"12"', 0],
    ["origin_server_ts", "99999999999999999999", 0],
    ["origin_server_ts", "1e999", 0],
    ["origin_server_ts", "null", 0],
    ["origin_server_ts", "{}", 0],
    ["origin_server_ts", "0", 0],
  ])("[EVT-6] %s %s reads as %d", (key, value, expected) => {
    expect(take(wrap(`"${key}":${value}`)).ts).toBe(expected);
  });

  test.each([
    ["12", "not an object"],
    ['{"event_id":"$1","type":"m.x"', "malformed json"],
    ['{"event_id":"$1","type":"m.x","content":{"a":tru}}', "malformed json"],
    ['{"event_id":"$1","type":"m.x"} x', "malformed json"],
    ["{}", "no event id"],
    ['{"type":"m.x"}', "no event id"],
    ['{"event_id":"","type":"m.x"}', "no event id"],
    ['{"event_id":5,"type":"m.x"}', "no event id"],
    ['{"event_id":"$1"}', "no type"],
    ['{"event_id":"$1","type":null}', "no type"],
    ['{"event_id":"$1","type":{"":1}}', "no type"],
    ['{"event_id":"$1","type":"m.x","state_key":5}', "state key is not a string"],
    [`{"event_id":"$${"x".repeat(255)}","type":"m.x"}`, "identifier too long"],
    [`{"event_id":"$1","type":"m.x","state_key":"${"é".repeat(128)}"}`, "identifier too long"],
    [String.raw`{"event_id":"$\u0000","type":"m.x"}`, "identifier contains nul"],
    [String.raw`{"event_id":"$1","type":"m\u0000"}`, "identifier contains nul"],
    [String.raw`{"event_id":"$1","type":"m","state_key":"\u0000"}`, "identifier contains nul"],
    [String.raw`{"event_id":"$1","type":"m","sender":"@\u0000"}`, "identifier contains nul"],
    [String.raw`{"event_id":"$1","type":"m","room_id":"!\u0000"}`, "identifier contains nul"],
    [String.raw`{"event_id":"$1","type":"m","state_key":"\ud800"}`, "identifier is not unicode"],
    ['{"event_id":"$1","type":"m.room.member","state_key":"@a:hs"}', "member event without membership"],
    ['{"event_id":"$1","type":"m.room.member","state_key":"@a:hs","content":5}', "member event without membership"],
    [
      '{"event_id":"$1","type":"m.room.member","state_key":"@a:hs","content":{"membership":""}}',
      "member event without membership",
    ],
  ])("[EVT-7] refuses %s: %s", (text, fault) => {
    expect(readEvent(encode(text)) as string).toBe(fault);
  });

  test("[EVT-8] refuses raw bytes that are no text, and events beyond the bound", () => {
    const text = encode(wrap('"content":{"body":"??"}'));
    text.set([0xed, 0xa0], text.indexOf(0x3f));
    expect(readEvent(text) as string).toBe("invalid utf-8");
    expect(readEvent(encode(wrap(`"content":"${"x".repeat(100)}"`)), 100) as string).toBe("too large");
  });
});

describe("unsigned", () => {
  test.each([
    ['{"transaction_id":"t"}', "{}"],
    ['{ "transaction_id" : "t" }', "{}"],
    ['{"age":1,"transaction_id":"t"}', '{"age":1}'],
    ['{"transaction_id":"t","age":1}', '{"age":1}'],
    ['{ "transaction_id":"t" , "age":1 }', '{ "age":1 }'],
    ['{"a":1, "transaction_id":"t" , "b":2}', '{"a":1 , "b":2}'],
    ['{"membership":"join","transaction_id":"t","a":1,"io.element.msc4115.membership":"join"}', '{"a":1}'],
    ['{"membership":"join","transaction_id":"t"}', "{}"],
    ['{"a":1,"transaction_id":"x","txn_id":"y","b":2,"transaction_id":"t"}', '{"a":1,"b":2}'],
    [String.raw`{"trans\u0061ction_id":"t","age":1}`, '{"age":1}'],
  ])("[EVT-10] %s is kept as %s", (unsigned, expected) => {
    const event = take(wrap(`"unsigned":${unsigned},"content":{"unsigned":${unsigned}}`));
    expect(decode(event.json)).toBe(wrap(`"unsigned":${expected},"content":{"unsigned":${unsigned}}`));
    expect(event.txnId).toBe("t");
  });

  test("[EVT-11] nothing personal stays in a repeated unsigned either; the last one is read", () => {
    const event = take(
      wrap('"unsigned":{"transaction_id":"t","membership":"join"},"x":1,"unsigned":{"age":2,"txn_id":"z"}'),
    );
    expect(decode(event.json)).toBe(wrap('"unsigned":{},"x":1,"unsigned":{"age":2}'));
    expect(event.txnId).toBeNull();
  });

  test("[EVT-12] without personal members the bytes are not copied", () => {
    const bytes = encode(wrap('"unsigned":{"age":1}'));
    const event = readEvent(bytes);
    expect(typeof event === "string" ? null : event.json.buffer).toBe(bytes.buffer as ArrayBuffer);
  });

  test.each([
    [
      '{"redacted_because":{"event_id":"$r","unsigned":{"transaction_id":"x","age":1}},"age":2}',
      '{"redacted_because":{"event_id":"$r","unsigned":{"age":1}},"age":2}',
    ],
    [
      '{"membership":"join","redacted_because":{"unsigned":{"membership":"join"}},"transaction_id":"y"}',
      '{"redacted_because":{"unsigned":{}}}',
    ],
    [
      '{"m.relations":{"m.replace":{"content":{"unsigned":{"transaction_id":"kept"}},"unsigned":{"io.element.msc4115.membership":"join"}}}}',
      '{"m.relations":{"m.replace":{"content":{"unsigned":{"transaction_id":"kept"}},"unsigned":{}}}}',
    ],
    [
      '{"m.relations":{"m.thread":{"count":2,"current_user_participated":true,"latest_event":{"unsigned":{"transaction_id":"x",' +
        '"m.relations":{"m.replace":{"unsigned":{"txn_id":"z"}}}}}}}}',
      '{"m.relations":{"m.thread":{"count":2,"latest_event":{"unsigned":{"m.relations":{"m.replace":{"unsigned":{}}}}}}}}',
    ],
    [
      '{"prev_content":{"membership":"join"},"redacted_because":"$x","m.relations":[]}',
      '{"prev_content":{"membership":"join"},"redacted_because":"$x","m.relations":[]}',
    ],
  ])("[EVT-14] what is personal in events inside of events goes too: %s", (unsigned, expected) => {
    expect(decode(take(wrap(`"unsigned":${unsigned},"x":1`)).json)).toBe(wrap(`"unsigned":${expected},"x":1`));
  });

  test.each(["null", "5", "[]", '"transaction_id"'])("[EVT-13] unsigned %s is left alone", (unsigned) => {
    const text = wrap(`"unsigned":${unsigned}`);
    expect(decode(take(text).json)).toBe(text);
  });
});
