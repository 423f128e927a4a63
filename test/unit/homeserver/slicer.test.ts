import { describe, expect, test } from "bun:test";
import { FAIL, bodyStart, checkValue, eachItem, eachMember, skipValue } from "#src/homeserver/slicer.ts";

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

const VALID = [
  "0",
  "-0",
  "-12.5e+3",
  "1E9",
  "123456789012345678901234567890",
  "true",
  "false",
  "null",
  '""',
  String.raw`"\"\\\/\b\f\n\r\t\u00e9\ud800"`,
  "[]",
  "{}",
  "[ ]",
  "{\n}",
  '[1,"a",[null,{"a":[]}],{}]',
  '{"a":1,"a":2}',
  '{"a" :\t{"b": [ 1 , 2 ]\r\n} }',
  '"\u007f\u00e9\u{1F600}"',
];

const MALFORMED = [
  "",
  " ",
  "tru",
  "truex",
  "nul",
  "01",
  "-",
  "1.",
  ".5",
  "1e",
  "+1",
  "NaN",
  '"',
  '"a',
  '"\\',
  '"\\x"',
  String.raw`"\u12g4"`,
  '"\u0000"',
  '"a\nb"',
  "[",
  "[1",
  "[1,",
  "[1,]",
  "[,1]",
  "[1 2]",
  "[1}",
  "{",
  '{"a"',
  '{"a":',
  '{"a":1',
  '{"a":1,',
  '{"a":1,}',
  '{"a" 1}',
  "{a:1}",
  "{1:1}",
  '{"a":1]',
  '{"a":1,"b"}',
  "'a'",
];

describe("checkValue", () => {
  test.each(VALID)("[SLC-1] accepts %s", (text) => {
    expect(checkValue(bytes(text), 0, bytes(text).length)).toBe(bytes(text).length);
    expect(skipValue(bytes(text), 0, bytes(text).length)).toBe(bytes(text).length);
  });

  test.each(MALFORMED)("[SLC-2] refuses %s", (text) => {
    const end = checkValue(bytes(text), 0, bytes(text).length);
    // A scalar with something behind it ends before it.
    expect(end === FAIL || end < bytes(text).length).toBe(true);
  });

  test("[SLC-3] takes any depth without a stack", () => {
    const depth = 200_000;
    const arrays = bytes("[".repeat(depth) + "]".repeat(depth));
    expect(checkValue(arrays, 0, arrays.length)).toBe(arrays.length);
    const mixed = bytes('[{"a":'.repeat(depth) + "1" + "}]".repeat(depth));
    expect(checkValue(mixed, 0, mixed.length)).toBe(mixed.length);
    expect(skipValue(mixed, 0, mixed.length)).toBe(mixed.length);
    // One closing bracket of the wrong kind, deep inside.
    const wrong = bytes('[{"a":'.repeat(depth) + "1" + "}]".repeat(depth / 2) + "]}" + "}]".repeat(depth / 2 - 1));
    expect(checkValue(wrong, 0, wrong.length)).toBe(FAIL);
    expect(skipValue(wrong, 0, wrong.length)).toBe(wrong.length);
  });
});

describe("skipValue", () => {
  test("[SLC-4] finds the end of a value whose inside is garbage", () => {
    const text = bytes('{"a":tru, 5 "x" [}} rest');
    expect(skipValue(text, 0, text.length)).toBe(text.length - " rest".length);
  });

  test("[SLC-5] fails when the bytes end first", () => {
    for (const text of ['{"a":1', "[1,2", '"abc', '{"a":"}']) {
      expect(skipValue(bytes(text), 0, bytes(text).length)).toBe(FAIL);
    }
  });
});

describe("eachMember and eachItem", () => {
  test("[SLC-6] walk over whitespace, empty containers and nested values", () => {
    const text = ' { "a" : 1 ,"b":{"c":[]}, "":"x" } ';
    const body = bytes(text);
    const seen: [string, string][] = [];
    const end = eachMember(body, 1, body.length, (keyStart, keyEnd, valueStart) => {
      const valueEnd = skipValue(body, valueStart, body.length);
      seen.push([text.slice(keyStart, keyEnd), text.slice(valueStart, valueEnd)]);
      return valueEnd;
    });
    expect(seen).toEqual([
      ["a", "1"],
      ["b", '{"c":[]}'],
      ["", '"x"'],
    ]);
    expect(end).toBe(text.length - 1);
    const items: number[] = [];
    const list = bytes("[1, [2] ,{}]");
    const visit = (at: number): number => {
      items.push(at);
      return skipValue(list, at, list.length);
    };
    expect(eachItem(list, 0, list.length, visit)).toBe(list.length);
    expect(items).toEqual([1, 4, 9]);
  });

  test.each(['{"a":1 "b":2}', '{"a":1,}', "{,}", '{"a"}', '{"a":}', "[]", '{"a":1'])("[SLC-7] fail on %s", (text) => {
    const body = bytes(text);
    expect(eachMember(body, 0, body.length, (_start, _end, at) => skipValue(body, at, body.length))).toBe(FAIL);
  });

  test("[SLC-8] a byte order mark is not part of the body", () => {
    expect(bodyStart(bytes("\uFEFF \n{}"))).toBe(5);
    expect(bodyStart(bytes("{}"))).toBe(0);
    expect(bodyStart(bytes(""))).toBe(0);
  });
});
