import { describe, expect, test } from "bun:test";
import { parseUserPatterns, userFilter } from "#src/config/user-patterns.ts";

const patterns = (text: string): readonly string[] => {
  const parsed = parseUserPatterns(text);
  if ("advice" in parsed) throw new Error(parsed.advice);
  return parsed.value;
};
const isServed = (allow: string, deny: string, userId: string): boolean =>
  userFilter({ allow: patterns(allow), deny: patterns(deny) })(userId);

describe("who is served", () => {
  test("[LIM-20] everybody, unless somebody is named", () => {
    expect(isServed("", "", "@a:hs")).toBe(true);
  });

  test("[LIM-21] a user id is compared whole, a server name with what follows the first colon", () => {
    expect(isServed("@a:hs", "", "@a:hs")).toBe(true);
    expect(isServed("@a:hs", "", "@aa:hs")).toBe(false);
    expect(isServed("@a:hs", "", "@a:hs.example.org")).toBe(false);
    // Old accounts may be told apart by that alone.
    expect(isServed("@a:hs", "", "@A:hs")).toBe(false);
    expect(isServed("hs", "", "@b:hs")).toBe(true);
    expect(isServed("hs", "", "@b:HS")).toBe(true);
    expect(isServed("hs:8448", "", "@b:hs:8448")).toBe(true);
    expect(isServed("hs", "", "@b:hs:8448")).toBe(false);
    expect(isServed("[::1]:8448", "", "@b:[::1]:8448")).toBe(true);
    expect(isServed("example.org", "", "@b:examplesorg")).toBe(false);
  });

  test("[LIM-22] * stands for anything, ? for one character, nothing else for anything but itself", () => {
    expect(isServed("@bot-*:hs", "", "@bot-7:hs")).toBe(true);
    expect(isServed("@bot-?:hs", "", "@bot-77:hs")).toBe(false);
    expect(isServed("*.example.org", "", "@a:x.example.org")).toBe(true);
    expect(isServed("*.example.org", "", "@a:example.org")).toBe(false);
    expect(isServed("@a.b+c:hs", "", "@axb+c:hs")).toBe(false);
    expect(isServed("", "@evil*:hs", "@evil\n:hs")).toBe(false);
  });

  test("[LIM-23] who is denied is not served, allowed or not", () => {
    expect(isServed("hs", "@a:hs", "@a:hs")).toBe(false);
    expect(isServed("hs", "@a:hs", "@b:hs")).toBe(true);
    expect(isServed("", "*.evil.example", "@a:x.evil.example")).toBe(false);
  });

  test("[LIM-24] patterns are separated by commas or spaces, and what is neither user nor server is refused", () => {
    expect(patterns(" @a:hs, hs2  hs3,")).toEqual(["@a:hs", "hs2", "hs3"]);
    for (const text of ["@alice", "https://hs/", "hs/path", "@a:hs;@b:hs2 a;b"])
      expect(parseUserPatterns(text)).toHaveProperty("advice");
  });
});
