import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import {
  intArray,
  keyArray,
  keyText,
  originalText,
  packBytes,
  storableInt,
  storableText,
  textArray,
} from "#db/text.ts";

/** Any JavaScript string, halves of surrogate pairs and control characters included. */
const anyText = fc.string({
  unit: fc.oneof(
    fc.constantFrom("\0", "\u001a", "\ud800", "\udc00", '"', "\\", "{", "}", ",", "é", "😀", "0", "1", "u"),
    fc.integer({ min: 0, max: 0xffff }).map((unit) => String.fromCharCode(unit)),
  ),
  maxLength: 300,
});

/** What PostgreSQL makes of an array literal of quoted elements. */
function parseLiteral(literal: string): (string | null)[] {
  expect(literal.at(0)).toBe("{");
  expect(literal.at(-1)).toBe("}");
  const elements: (string | null)[] = [];
  let at = 1;
  while (literal[at] !== "}") {
    if (literal[at] === ",") at++;
    if (literal.startsWith("NULL", at)) {
      elements.push(null);
      at += 4;
      continue;
    }
    expect(literal[at++]).toBe('"');
    let text = "";
    while (literal[at] !== '"') {
      if (literal[at] === "\\") at++;
      text += literal[at++];
    }
    at++;
    elements.push(text);
  }
  return elements;
}

describe("text for PostgreSQL", () => {
  test("[TXT-1] any string can be stored and comes back as it was", () => {
    fc.assert(
      fc.property(anyText, (text) => {
        const stored = storableText(text);
        expect(stored.includes("\0")).toBe(false);
        expect(stored.isWellFormed()).toBe(true);
        expect(originalText(stored)).toBe(text);
      }),
      { numRuns: 1000 },
    );
  });

  test("[TXT-2] different keys stay different, and every key fits an index row", () => {
    fc.assert(
      fc.property(anyText, anyText, fc.nat(3000), (a, b, length) => {
        const [long, other] = [a + "x".repeat(length), b + "x".repeat(length)];
        expect(Buffer.byteLength(keyText(long))).toBeLessThanOrEqual(600);
        expect(keyText(long).isWellFormed()).toBe(true);
        expect(keyText(long).includes("\0")).toBe(false);
        expect(keyText(long) === keyText(other)).toBe(long === other);
      }),
      { numRuns: 1000 },
    );
  });

  test("[TXT-3] array literals hold exactly their elements", () => {
    fc.assert(
      fc.property(fc.array(fc.option(anyText), { maxLength: 5 }), (texts) => {
        expect(parseLiteral(textArray(texts))).toEqual(
          texts.map((text) => (text === null ? null : storableText(text))),
        );
      }),
    );
    fc.assert(
      fc.property(fc.array(anyText, { maxLength: 5 }), (texts) => {
        expect(parseLiteral(keyArray(texts))).toEqual(texts.map(keyText));
      }),
    );
    expect(intArray([1, null, -3])).toBe("{1,NULL,-3}");
  });

  test("[TXT-4] a number of whatever kind becomes one that a bigint column holds", () => {
    expect([1.9, -1.9, Number.NaN, 1e300, -1e300, Number.POSITIVE_INFINITY].map(storableInt)).toEqual([
      1,
      -1,
      0,
      Number.MAX_SAFE_INTEGER,
      Number.MIN_SAFE_INTEGER,
      Number.MAX_SAFE_INTEGER,
    ]);
  });

  test("[TXT-5] packed byte strings lie where they are said to lie", () => {
    fc.assert(
      fc.property(fc.array(fc.option(fc.uint8Array({ maxLength: 20 }))), (parts) => {
        const { blob, offsets, lengths } = packBytes(parts);
        const found = offsets.map((from, i) => {
          const length = lengths[i] ?? null;
          return length === null ? null : new Uint8Array(blob.subarray(from - 1, from - 1 + length));
        });
        expect(found).toEqual(parts);
      }),
    );
  });
});
