import { describe, expect, test } from "bun:test";
import { withOverlay } from "#src/protocol/overlay.ts";

const overlaid = (json: string): string =>
  new TextDecoder().decode(withOverlay(new TextEncoder().encode(json), { txnId: 't"1', stickyTtlMs: null }));
const TXN = '"transaction_id":"t\\"1"';

describe("withOverlay", () => {
  test.each([
    ["no unsigned", '{"a":1}', `{"a":1,"unsigned":{${TXN}}}`],
    ["blanks at the end", '{"a":1 }\n', `{"a":1 ,"unsigned":{${TXN}}}\n`],
    ["an empty one", '{"unsigned":{ },"a":1}', `{"unsigned":{${TXN} },"a":1}`],
    ["one with members", '{"unsigned" : {"age":1}}', `{"unsigned" : {${TXN},"age":1}}`],
    [
      "the name deeper down",
      '{"content":{"unsigned":{}},"a":1}',
      `{"content":{"unsigned":{}},"a":1,"unsigned":{${TXN}}}`,
    ],
    [
      "the name in a string",
      '{"body":"\\"unsigned\\":{","a":[]}',
      `{"body":"\\"unsigned\\":{","a":[],"unsigned":{${TXN}}}`,
    ],
    ["the last of two", '{"unsigned":{},"unsigned":{"b":1}}', `{"unsigned":{},"unsigned":{${TXN},"b":1}}`],
    ["none that is an object", '{"unsigned":null}', `{"unsigned":null,"unsigned":{${TXN}}}`],
  ])("[I3] %s", (_, json, expected) => {
    expect(overlaid(json)).toBe(expected);
    expect(JSON.parse(expected).unsigned.transaction_id).toBe('t"1');
  });

  test("[STE-16] the time that is left goes beside the transaction id, and an event with neither is the very same", () => {
    const event = new TextEncoder().encode('{"unsigned":{"age":1}}');
    expect(withOverlay(event, { txnId: null, stickyTtlMs: null })).toBe(event);
    const text = new TextDecoder().decode(withOverlay(event, { txnId: "t", stickyTtlMs: 5 }));
    expect(text).toBe('{"unsigned":{"transaction_id":"t","msc4354_sticky_duration_ttl_ms":5,"age":1}}');
  });
});
