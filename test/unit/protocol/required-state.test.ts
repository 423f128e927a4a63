import { describe, expect, test } from "bun:test";
import { compileRequiredState, sameRequiredState, unionRequiredState } from "#src/protocol/required-state.ts";

const ME = "@me:hs";

const select = (...entries: [string, string][]) => compileRequiredState(entries, ME);

describe("compileRequiredState", () => {
  test("[STATE-1] concrete tuples match exactly", () => {
    const { matches, entries, lazyMembers } = select(["m.room.name", ""], ["x", "k"]);
    expect(matches("m.room.name", "")).toBe(true);
    expect(matches("m.room.name", "k")).toBe(false);
    expect(matches("x", "k")).toBe(true);
    expect(matches("x", "")).toBe(false);
    expect(entries).toEqual([
      ["m.room.name", ""],
      ["x", "k"],
    ]);
    expect(lazyMembers).toBe(false);
  });

  test("[STATE-2] $ME is the user for any type", () => {
    const { matches, entries } = select(["m.room.member", "$ME"], ["x", "$ME"]);
    expect(entries).toEqual([
      ["m.room.member", ME],
      ["x", ME],
    ]);
    expect(matches("x", ME)).toBe(true);
    expect(matches("m.room.member", ME)).toBe(true);
    expect(matches("m.room.member", "@other:hs")).toBe(false);
    expect(matches("m.room.member", "$ME")).toBe(false);
  });

  test("[STATE-3] $LAZY is special for members alone", () => {
    const lazy = select(["m.room.member", "$LAZY"]);
    expect(lazy).toMatchObject({ lazyMembers: true, entries: [] });
    expect(lazy.matches("m.room.member", "@a:hs")).toBe(false);
    const other = select(["x", "$LAZY"]);
    expect(other).toMatchObject({ lazyMembers: false, entries: [["x", "$LAZY"]] });
    expect(other.matches("x", "$LAZY")).toBe(true);
  });

  test("[STATE-4] a wildcard for the key is all of a type, a wildcard for the type any with that key", () => {
    const byType = select(["x", "*"]);
    expect([byType.matches("x", ""), byType.matches("x", "k"), byType.matches("y", "k")]).toEqual([true, true, false]);
    const byKey = select(["*", "k1"], ["m.room.member", "$LAZY"]);
    expect([byKey.matches("x", "k1"), byKey.matches("m.room.member", "k1"), byKey.matches("x", "@sender:hs")]).toEqual([
      true,
      true,
      false,
    ]);
    expect(byKey.entries).toEqual([["*", "k1"]]);
  });

  test("[STATE-5] everything, but only the named keys of named types", () => {
    const all = select(["*", "*"]);
    expect([all.matches("x", "k"), all.matches("m.room.member", "@a:hs")]).toEqual([true, true]);
    const lazy = select(["*", "*"], ["m.room.member", "$LAZY"], ["m.room.member", "$ME"], ["x", "k"]);
    expect(lazy.lazyMembers).toBe(true);
    expect(lazy.entries).toEqual([["*", "*"]]);
    expect(lazy.matches("m.room.name", "")).toBe(true);
    expect(lazy.matches("m.room.member", ME)).toBe(true);
    expect(lazy.matches("m.room.member", "@a:hs")).toBe(false);
    expect([lazy.matches("x", "k"), lazy.matches("x", "other")]).toEqual([true, false]);
  });

  test("[STATE-6] nothing asked is nothing got; duplicates are asked once", () => {
    expect(select()).toMatchObject({ entries: [], lazyMembers: false });
    expect(select().matches("m.room.name", "")).toBe(false);
    expect(select(["a", ""], ["a", ""], ["a", "$ME"], ["a", ME]).entries).toEqual([
      ["a", ""],
      ["a", ME],
    ]);
  });
});

describe("unions of required_state", () => {
  test("[STATE-7] keep order and drop duplicates", () => {
    expect(
      unionRequiredState(
        [
          ["a", ""],
          ["b", "x"],
        ],
        [
          ["b", "x"],
          ["b", "y"],
          ["a", ""],
        ],
      ),
    ).toEqual([
      ["a", ""],
      ["b", "x"],
      ["b", "y"],
    ]);
  });

  test("[STATE-7] sameRequiredState minds the order", () => {
    expect(
      sameRequiredState(
        [
          ["a", ""],
          ["b", ""],
        ],
        [
          ["a", ""],
          ["b", ""],
        ],
      ),
    ).toBe(true);
    expect(
      sameRequiredState(
        [
          ["a", ""],
          ["b", ""],
        ],
        [
          ["b", ""],
          ["a", ""],
        ],
      ),
    ).toBe(false);
    expect(
      sameRequiredState(
        [["a", ""]],
        [
          ["a", ""],
          ["b", ""],
        ],
      ),
    ).toBe(false);
  });
});
