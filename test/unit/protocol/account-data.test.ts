import { describe, expect, test } from "bun:test";
import { readDirect, readIgnored, readTags } from "#src/protocol/account-data.ts";

const NONSENSE = [null, undefined, 7, "x", [], {}, { content: null }, { content: [] }, { content: 7 }];
const strings = (set: ReadonlySet<string> | null): string[] => [...(set ?? ["null"])];

describe("account data", () => {
  test("[ACC-1] m.direct names rooms by user", () => {
    const event = {
      type: "m.direct",
      content: { "@a:hs": ["!1", "!2"], "@b:hs": ["!2", "nope", 7, null], "@c:hs": "!3", "@d:hs": {} },
    };
    expect(strings(readDirect(event))).toEqual(["!1", "!2"]);
    for (const nonsense of NONSENSE) expect(readDirect(nonsense).size).toBe(0);
  });

  test("[ACC-2] m.ignored_user_list names users by key, or says nothing", () => {
    expect(strings(readIgnored({ content: { ignored_users: { "@a:hs": {}, "@b:hs": null, nope: {} } } }))).toEqual([
      "@a:hs",
      "@b:hs",
    ]);
    expect(strings(readIgnored({ content: { ignored_users: {} } }))).toEqual([]);
    for (const nonsense of [
      ...NONSENSE,
      { content: { ignored_users: ["@a:hs"] } },
      { content: { ignored_users: null } },
    ]) {
      expect(readIgnored(nonsense)).toBeNull();
    }
  });

  test("[ACC-3] m.tag names tags by key", () => {
    expect(strings(readTags({ content: { tags: { "m.favourite": { order: 0.5 }, "u.x": null } } }))).toEqual([
      "m.favourite",
      "u.x",
    ]);
    for (const nonsense of [...NONSENSE, { content: { tags: ["x"] } }]) expect(readTags(nonsense).size).toBe(0);
  });

  test("[ACC-4] names of object members are not found where they are not", () => {
    expect(readTags(JSON.parse('{"content":{"tags":{"__proto__":{},"constructor":{}}}}')).size).toBe(2);
    expect(readIgnored(Object.create({ content: { ignored_users: { "@a:hs": {} } } }))).toBeNull();
  });
});
