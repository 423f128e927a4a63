import { describe, expect, test } from "bun:test";
import type { RoomNid } from "#src/protocol/ids.ts";
import { decodePos, encodePos, type PosClaims, mappedMac } from "#src/protocol/pos.ts";

const CLAIMS: PosClaims = { incarnation: "aZ09_-", seq: 3, streamPos: 123_456, generation: 2 ** 50, behind: [] };
/** Ends in everything base64 can end in. */
const mac = (text: string): string => `${Bun.hash(text).toString(16)}+/==`;

describe("pos", () => {
  test("[POS-1] says what was put in, for URLs as it is", () => {
    const pos = encodePos(CLAIMS, mac);
    expect(pos).toMatch(/^[A-Za-z0-9_.-]+$/);
    expect(pos.length).toBeLessThan(64);
    expect(decodePos(pos, mac)).toEqual(CLAIMS);
    const behind: PosClaims = { ...CLAIMS, behind: [1 as RoomNid, 40_000 as RoomNid] };
    expect(decodePos(encodePos(behind, mac), mac)).toEqual(behind);
  });

  test("[POS-2] of another key, or of none, says nothing", () => {
    const pos = encodePos(CLAIMS, mac);
    expect(decodePos(pos, (text) => mac(`${text}other`))).toBeNull();
    for (const text of [
      "",
      "0",
      "1",
      "abc",
      "....",
      "a.1.2.3.",
      "a.1.2.3",
      `${pos}.x`,
      `.${pos}`,
      pos.slice(0, -1),
      `${pos}a`,
    ]) {
      expect(decodePos(text, mac)).toBeNull();
    }
  });

  test("[POS-3] numbers written otherwise are not ours, whatever their digest", () => {
    const signed = (text: string): string => `${text}.${mac(text).replace("+/==", "-_")}`;
    expect(decodePos(signed("a.1.2.3"), mac)).toEqual({
      incarnation: "a",
      seq: 1,
      streamPos: 2,
      generation: 3,
      behind: [],
    });
    for (const text of [
      "a.01.2.3",
      "a.1.-2.3",
      "a.1.2.",
      "a.A.2.3",
      "a.1.2.zzzzzzzzzzzz",
      "a+b.1.2.3",
      ".1.2.3",
      "a.1.2",
      "a.1.2.3.",
      "a.1.2.3.4-",
      "a.1.2.3.04",
      "a.1.2.3.4.5",
    ]) {
      expect(decodePos(signed(text), mac)).toBeNull();
    }
  });

  test("[POS-9] what the key before made is believed, whatever is digested; nothing is made with it", () => {
    const keyed =
      (key: string) =>
      (text: string): string =>
        `${key}${text.length}`;
    const both = mappedMac(Object.assign(keyed("new"), { before: keyed("old") }), (text) => `of a connection ${text}`);
    const old = mappedMac(keyed("old"), (text) => `of a connection ${text}`);
    expect(decodePos(encodePos(CLAIMS, old), both)).toEqual(CLAIMS);
    expect(decodePos(encodePos(CLAIMS, both), both)).toEqual(CLAIMS);
    expect(decodePos(encodePos(CLAIMS, both), old)).toBeNull();
    expect(decodePos(encodePos(CLAIMS, mappedMac(keyed("other"), String)), both)).toBeNull();
  });

  test("[POS-4] a text too long is not looked at", () => {
    let asked = false;
    const watching = (text: string): string => {
      asked = true;
      return text;
    };
    expect(decodePos(`a.1.2.3.${"x".repeat(1000)}`, watching)).toBeNull();
    expect(asked).toBe(false);
  });

  test("[POS-5] refuses claims it could not read back", () => {
    expect(() => encodePos({ ...CLAIMS, incarnation: "a.b" }, mac)).toThrow("URL-safe");
    expect(() => encodePos({ ...CLAIMS, seq: -1 }, mac)).toThrow("counts");
    expect(() => encodePos({ ...CLAIMS, streamPos: 1.5 }, mac)).toThrow("counts");
  });
});
