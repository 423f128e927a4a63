import { describe, expect, test } from "bun:test";
import { MEMBERSHIPS, type Membership } from "#src/protocol/events.ts";
import { isIgnoredEvent, isListed, isVisible, visibleRange } from "#src/protocol/visibility.ts";

const stay = (membership: Membership, joinPos: number, leftPos: number | null) => ({ membership, joinPos, leftPos });

describe("visibleRange", () => {
  test("[VIS-1] from the own join on, while joined", () => {
    expect(visibleRange(stay("join", 7, null))).toEqual({ from: 7, to: Number.MAX_SAFE_INTEGER });
    // What an earlier stay left behind does not end this one.
    expect(visibleRange(stay("join", 7, 5))).toEqual({ from: 7, to: Number.MAX_SAFE_INTEGER });
  });

  test("[VIS-2] up to the leave or ban, that included", () => {
    expect(visibleRange(stay("leave", 7, 12))).toEqual({ from: 7, to: 12 });
    expect(visibleRange(stay("ban", 7, 12))).toEqual({ from: 7, to: 12 });
  });

  test("[VIS-3] nothing for who never joined, is invited or knocks", () => {
    for (const membership of MEMBERSHIPS) expect(visibleRange(stay(membership, 0, null))).toBeNull();
    expect(visibleRange(stay("leave", 0, 12))).toBeNull();
    expect(visibleRange(stay("invite", 7, 12))).toBeNull();
    expect(visibleRange(stay("knock", 7, 12))).toBeNull();
    expect(visibleRange(stay("leave", 7, null))).toBeNull();
  });

  test("[VIS-4] isVisible holds both ends", () => {
    const left = stay("leave", 7, 12);
    expect([6, 7, 12, 13].map((pos) => isVisible(left, pos))).toEqual([false, true, true, false]);
    expect(isVisible(stay("join", 7, null), 1e9)).toBe(true);
    expect(isVisible(stay("invite", 0, null), 7)).toBe(false);
  });
});

test("[VIS-5] only joined and invited rooms are listed", () => {
  const listed = MEMBERSHIPS.filter((membership) => isListed({ membership }));
  expect(listed).toEqual(["join", "invite"]);
});

test("[VIS-6] messages of ignored senders are hidden, their state is not", () => {
  const ignored = new Set(["@pest:hs"]);
  expect(isIgnoredEvent({ sender: "@pest:hs", stateKey: null }, ignored)).toBe(true);
  expect(isIgnoredEvent({ sender: "@pest:hs", stateKey: "" }, ignored)).toBe(false);
  expect(isIgnoredEvent({ sender: "@friend:hs", stateKey: null }, ignored)).toBe(false);
});
