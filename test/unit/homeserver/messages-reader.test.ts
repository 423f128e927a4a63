import { describe, expect, test } from "bun:test";
import { readMessages } from "#src/homeserver/messages-reader.ts";

const read = (text: string, limit = 10): ReturnType<typeof readMessages> =>
  readMessages(new TextEncoder().encode(text), "from", limit);
const event = (id: string, more = ""): string =>
  `{ "type":"m.room.message","event_id":"$${id}","sender":"@a:hs","content":{"n":1e2,"b":"\\u0041"}${more}}`;

describe("readMessages", () => {
  test("[HIS-15] events come byte for byte, oldest first, with the token of before them", () => {
    const [two, one] = [event("2"), event("1")];
    const result = read(` {"start":"s","chunk":[${two} , ${one}],"state":[],"end":"e"} `);
    if (typeof result === "string") throw new Error(result);
    expect(result.events.map(({ json }) => new TextDecoder().decode(json))).toEqual([one, two]);
    expect(result).toMatchObject({ prevBatch: "e", hasMore: true });
  });

  test("[HIS-16] without an end, or with one that is none, there is no more", () => {
    for (const end of ["", ',"end":null', ',"end":""', ',"end":7']) {
      expect(read(`{"chunk":[${event("1")}]${end}}`)).toMatchObject({ prevBatch: null, hasMore: false });
    }
  });

  test("[HIS-17] an event that cannot be read is left out; when it is the oldest one its token is not used", () => {
    const ids = (text: string): unknown => {
      const result = read(text);
      return typeof result === "string" ? result : [result.events.map(({ id }) => id as string), result.prevBatch];
    };
    expect(ids(`{"chunk":[{"type":"x"},${event("1")}],"end":"e"}`)).toEqual([["$1"], "e"]);
    expect(ids(`{"chunk":[${event("1")},7],"end":"e"}`)).toEqual([["$1"], "from"]);
  });

  test("[HIS-18] an answer that is not whole, no answer, or longer than was asked for is not used", () => {
    for (const text of [
      "",
      "null",
      "[]",
      "{}",
      '{"chunk":{}}',
      '{"chunk":null}',
      '{"chunk":[',
      '{"chunk":[]',
      '{"chunk":[{]}',
      '{"chunk":[]} x',
    ])
      expect([text, typeof read(text)]).toEqual([text, "string"]);
    expect(typeof read(`{"chunk":[${event("1")},${event("2")}]}`, 1)).toBe("string");
    expect(typeof read(`{"chunk":[${event("1")},${event("2")}]}`, 2)).toBe("object");
  });
});
