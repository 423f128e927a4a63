import { expect, test } from "bun:test";
import fc from "fast-check";
import type { RoomNid } from "#src/protocol/ids.ts";
import { decodePos, encodePos } from "#src/protocol/pos.ts";

const keyed = (key: string) => (text: string) => new Bun.CryptoHasher("sha256", key).update(text).digest("base64");
const claims = fc.record({
  incarnation: fc.stringMatching(/^[A-Za-z0-9_-]{1,22}$/),
  seq: fc.maxSafeNat(),
  streamPos: fc.maxSafeNat(),
  generation: fc.maxSafeNat(),
  behind: fc.array(fc.nat() as fc.Arbitrary<RoomNid>, { maxLength: 16 }),
});

test("[POS-6] every pos is read back as it was, and is safe in a URL", () => {
  fc.assert(
    fc.property(claims, fc.string(), (claim, key) => {
      const pos = encodePos(claim, keyed(key));
      expect(decodePos(pos, keyed(key))).toEqual(claim);
      expect(encodeURIComponent(pos)).toBe(pos);
      expect(pos.length).toBeLessThanOrEqual(256);
    }),
  );
});

test("[POS-7] one changed, lost or added character is noticed; so is another key", () => {
  fc.assert(
    fc.property(
      claims,
      fc.nat(),
      fc.constantFrom("a", "Z", "0", "_", "-", ".", "+", "/", "=", " ", "é"),
      fc.constantFrom("set", "cut", "add"),
      (claim, seed, letter, how) => {
        const mac = keyed("key");
        const pos = encodePos(claim, mac);
        const at = seed % pos.length;
        const changed = pos.slice(0, at) + (how === "cut" ? "" : letter) + pos.slice(how === "add" ? at : at + 1);
        if (changed !== pos) expect(decodePos(changed, mac)).toBeNull();
        expect(decodePos(pos, keyed("other"))).toBeNull();
      },
    ),
    { numRuns: 1000 },
  );
});

test("[POS-8] anything else is no pos", () => {
  fc.assert(fc.property(fc.string(), (text) => expect(decodePos(text, keyed("key"))).toBeNull()));
});
