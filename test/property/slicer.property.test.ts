import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FAIL, checkValue, eachItem, eachMember, skipValue } from "#src/homeserver/slicer.ts";
import { deepText, jsonText } from "./json-text.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const decode = (bytes: Uint8Array): string => new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes);

/** Whether JSON.parse takes it: the independent judge. */
function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

describe("slicer", () => {
  test("[SLC-10] well-formed values end where they end, whatever follows", () => {
    fc.assert(
      fc.property(fc.oneof(jsonText, deepText), fc.constantFrom("", ",1", "]", "}", " x"), (text, tail) => {
        const bytes = encode(text + tail);
        const end = encode(text).length;
        expect(checkValue(bytes, 0, bytes.length)).toBe(end);
        expect(skipValue(bytes, 0, bytes.length)).toBe(end);
      }),
    );
  });

  test("[SLC-11] accepts exactly what JSON.parse accepts, mutated texts included", () => {
    fc.assert(
      fc.property(
        jsonText,
        fc.array(fc.tuple(fc.nat(200), fc.constantFrom(...'{}[]:,"\\u0019.-+eE tnfa\n\u0001'.split(""))), {
          maxLength: 2,
        }),
        (text, edits) => {
          let mutated = text;
          for (const [at, char] of edits) {
            const i = at % (mutated.length + 1);
            mutated = mutated.slice(0, i) + char + mutated.slice(i + (at % 2));
          }
          // Half of a surrogate pair would not survive the encoder.
          const whole = mutated.toWellFormed().trim();
          const bytes = encode(whole);
          expect(checkValue(bytes, 0, bytes.length) === bytes.length).toBe(isJson(whole));
        },
      ),
      { numRuns: 1000 },
    );
  });

  test("[SLC-12] any bytes at all: no crash, no loop, no end beyond the bytes", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), fc.constantFrom("{", "[", '"', "1", "t"), (noise, first) => {
        const bytes = new Uint8Array([first.charCodeAt(0), ...noise]);
        const skip = (at: number): number => skipValue(bytes, at, bytes.length);
        for (const end of [
          checkValue(bytes, 0, bytes.length),
          skip(0),
          eachMember(bytes, 0, bytes.length, (_start, _end, at) => skip(at)),
          eachItem(bytes, 0, bytes.length, skip),
        ]) {
          expect(end === FAIL || (end > 0 && end <= bytes.length)).toBe(true);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("[SLC-13] slices of an array are the very texts it was made of", () => {
    fc.assert(
      fc.property(fc.array(jsonText, { maxLength: 6 }), (texts) => {
        const bytes = encode(`[${texts.join(" ,\n")}]`);
        const slices: string[] = [];
        eachItem(bytes, 0, bytes.length, (at) => {
          const end = skipValue(bytes, at, bytes.length);
          slices.push(decode(bytes.subarray(at, end)));
          return end;
        });
        expect(slices).toEqual(texts);
      }),
    );
  });
});
