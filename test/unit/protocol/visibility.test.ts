import { describe, expect, test } from "bun:test";
import { MEMBERSHIPS, type Membership } from "#src/protocol/events.ts";
import { isIgnoredEvent, isListed, isOwnInvite, isVisible, visibleRange } from "#src/protocol/visibility.ts";
import { storedEvent } from "#test/support/stored-samples.ts";

const stay = (membership: Membership, joinPos: number, leftPos: number | null) => ({ membership, joinPos, leftPos });

const JOINED = { sharedSince: null };

describe("visibleRange", () => {
  test("[VIS-1] from the own join on, while joined", () => {
    expect(visibleRange(stay("join", 7, null), JOINED)).toEqual({ from: 7, to: Number.MAX_SAFE_INTEGER });
    // What an earlier stay left behind does not end this one.
    expect(visibleRange(stay("join", 7, 5), JOINED)).toEqual({ from: 7, to: Number.MAX_SAFE_INTEGER });
  });

  test("[VIS-2] up to the leave or ban, that included", () => {
    expect(visibleRange(stay("leave", 7, 12), JOINED)).toEqual({ from: 7, to: 12 });
    expect(visibleRange(stay("ban", 7, 12), JOINED)).toEqual({ from: 7, to: 12 });
  });

  test("[VIS-3] nothing for who never joined, is invited or knocks", () => {
    for (const membership of MEMBERSHIPS) expect(visibleRange(stay(membership, 0, null), JOINED)).toBeNull();
    expect(visibleRange(stay("leave", 0, 12), JOINED)).toBeNull();
    expect(visibleRange(stay("invite", 7, 12), JOINED)).toBeNull();
    expect(visibleRange(stay("knock", 7, 12), JOINED)).toBeNull();
    expect(visibleRange(stay("leave", 7, null), JOINED)).toBeNull();
  });

  test("[VIS-4] isVisible holds both ends", () => {
    const left = stay("leave", 7, 12);
    expect([6, 7, 12, 13].map((pos) => isVisible(left, JOINED, pos))).toEqual([false, true, true, false]);
    expect(isVisible(stay("join", 7, null), JOINED, 1e9)).toBe(true);
    expect(isVisible(stay("invite", 0, null), JOINED, 7)).toBe(false);
  });
});

describe("shared history", () => {
  test("[VIS-7] who is inside sees back to where the room began to share its history, and at least to the own join", () => {
    expect(visibleRange(stay("join", 7, null), { sharedSince: 3 })).toEqual({ from: 3, to: Number.MAX_SAFE_INTEGER });
    expect(visibleRange(stay("join", 7, null), { sharedSince: 9 })).toEqual({ from: 7, to: Number.MAX_SAFE_INTEGER });
  });

  test("[VIS-8] who is outside sees the own stay alone, whatever the room shares", () => {
    expect(visibleRange(stay("leave", 7, 12), { sharedSince: 3 })).toEqual({ from: 7, to: 12 });
    expect(visibleRange(stay("invite", 7, 12), { sharedSince: 3 })).toBeNull();
    expect(visibleRange(stay("join", 0, null), { sharedSince: 3 })).toBeNull();
  });
});

test("[VIS-9] of a room one is invited to one sees the invite, if it came in a timeline, and nothing else", () => {
  const invite = storedEvent(1, 5, { type: "m.room.member", stateKey: "@me:hs", membership: "invite" });
  expect(isOwnInvite(invite, "@me:hs")).toBe(true);
  expect(isOwnInvite({ ...invite, inTimeline: false }, "@me:hs")).toBe(false);
  expect(isOwnInvite({ ...invite, membership: "leave" }, "@me:hs")).toBe(false);
  expect(isOwnInvite(invite, "@you:hs")).toBe(false);
  expect(isOwnInvite(null, "@me:hs")).toBe(false);
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
