import { describe, expect, test } from "bun:test";
import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import { decodePos, encodePos, type Mac } from "#src/protocol/pos.ts";
import { macOf } from "#actors/connection/awake.ts";

const CLAIMS = { incarnation: "abc", seq: 1, streamPos: 5, generation: 7, behind: [] };

/** A digest that counts how often it is made. */
function counted(name: string, before?: Mac) {
  const texts: string[] = [];
  const digest = (text: string): string => {
    texts.push(text);
    return Bun.hash(`${name}${text}`).toString(36).padStart(20, "0");
  };
  const mac: Mac = before === undefined ? digest : Object.assign(digest, { before });
  return { mac, texts };
}

describe("macOf", () => {
  test.each(Object.values(DIALECTS))(
    "[CON-115] the position that was given out last is not signed again, in $name",
    (dialect) => {
      const { mac, texts } = counted("new");
      const own = macOf(dialect, "key", mac);
      for (let seq = 1; seq <= 5; seq++) {
        const pos = encodePos({ ...CLAIMS, seq }, own);
        expect(decodePos(pos, own)).toEqual({ ...CLAIMS, seq });
      }
      expect(texts).toHaveLength(5);
    },
  );

  test("[CON-115] others are looked at as ever: an older one is known, a made-up one is not", () => {
    const { mac } = counted("new");
    const own = macOf(DIALECTS.msc3575, "key", mac);
    const older = encodePos(CLAIMS, own);
    const last = encodePos({ ...CLAIMS, seq: 2 }, own);
    expect(decodePos(older, own)).toEqual(CLAIMS);
    expect(decodePos(last.replace("abc.2", "abc.3"), own)).toBeNull();
    expect(decodePos(`${last.slice(0, -1)}x`, own)).toBeNull();
    expect(decodePos(last, own)).toEqual({ ...CLAIMS, seq: 2 });
  });

  test("[CON-115] a key from before is still believed", () => {
    const old = counted("old");
    const made = encodePos(CLAIMS, macOf(DIALECTS.msc3575, "key", old.mac));
    const own = macOf(DIALECTS.msc3575, "key", counted("new", old.mac).mac);
    expect(decodePos(made, own)).toEqual(CLAIMS);
  });
});
