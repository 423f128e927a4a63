import { describe, expect, test } from "bun:test";
import { parseRequestJson, parseStrictJson } from "#src/protocol/request-json.ts";

describe("parseRequestJson", () => {
  test.each([
    ["{}", {}],
    ["null", {}],
    [' {"a":1} ', { a: 1 }],
    ['{"a":"}{"}{"b":2}', { a: "}{" }],
    ['{"a":"\\"}"} trailing', { a: '"}' }],
    ['{"a":{"b":{}}}}}', { a: { b: {} } }],
    ['\n{"a":[1,2]}\u0000', { a: [1, 2] }],
    ["null {}", {}],
    ["null,", {}],
    ["[1]", [1]],
  ])("[REQ-12] of %p the first value is read, and what follows is ignored", (text, value) => {
    expect(parseRequestJson(text)).toEqual(value);
  });

  test.each(["{", '{"a":"}', "}{}", "{'a':1}x", '{"a":1,}{}', "nul", "", " "])("[REQ-13] %p is not JSON", (text) => {
    expect(() => parseRequestJson(text)).toThrow(expect.objectContaining({ code: "not_json" }));
  });

  test.each(["", "{", "{} {}", '{"a":1}x', "null x"])("[REQ-13] read strictly, %p is not JSON", (text) => {
    expect(() => parseStrictJson(text)).toThrow(expect.objectContaining({ code: "not_json" }));
  });

  test("[REQ-14] a number with a fraction or an exponent is no integer; in a string it is text", () => {
    expect(parseRequestJson('{"a":[5,-7,5.0,5.5,1e3,1E3,"5.0 1e3"],"!r1.2e3:hs":{"b":10}}')).toEqual({
      a: [5, -7, Number.NaN, Number.NaN, Number.NaN, Number.NaN, "5.0 1e3"],
      "!r1.2e3:hs": { b: 10 },
    });
  });
});
