import { describe, expect, test } from "bun:test";
import { compareSortKeys } from "#src/protocol/room-order.ts";
import { sortKey, type SortView, unknownSort } from "#src/protocol/sorting.ts";

const view = (roomId: string, part: Partial<SortView> = {}): SortView => ({
  roomId,
  recencyTs: 0,
  name: "",
  highlightCount: 0,
  notificationCount: 0,
  isEncrypted: false,
  ...part,
});

function order(sorts: string[], views: SortView[]): string {
  return views
    .map((item) => ({ id: item.roomId, key: sortKey(sorts, item) }))
    .sort((a, b) => compareSortKeys(a.key, b.key))
    .map(({ id }) => id)
    .join(" ");
}

describe("sortKey", () => {
  test("[SRT-1] by_recency: newest first, ties by room id", () => {
    const views = [view("!b", { recencyTs: 5 }), view("!c", { recencyTs: 9 }), view("!a", { recencyTs: 5 })];
    expect(order(["by_recency"], views)).toBe("!c !a !b");
  });

  test("[SRT-2] by_name: without the signs around it, in lower case, by bytes", () => {
    const names = [
      ["!1", "Zebra"],
      ["!2", "#apple"],
      ["!3", " blank first"],
      ["!4", "(@Banana:_)"],
      ["!5", "Äpfel"],
      ["!6", "a#b"],
      ["!7", ""],
    ] as const;
    const views = names.map(([roomId, name]) => view(roomId, { name }));
    expect(order(["by_name"], views)).toBe("!7 !3 !6 !2 !4 !1 !5");
  });

  test("[SRT-2] by_name follows UTF-8 where UTF-16 differs", () => {
    // U+FF21 lies below U+1F600, but its unit lies above the surrogates of the latter.
    const views = [view("!smile", { name: "\u{1F600}" }), view("!wide", { name: "\uFF21" }), view("!a", { name: "a" })];
    expect(order(["by_name"], views)).toBe("!a !wide !smile");
  });

  test("[SRT-2] a name of signs alone, and a very long run of them, are taken in their stride", () => {
    const views = [
      view("!long", { name: `${"#".repeat(200_000)}x${"#".repeat(200_000)}y` }),
      view("!signs", { name: "#!():_@" }),
    ];
    expect(order(["by_name"], views)).toBe("!signs !long");
  });

  test("[SRT-3] by_notification_level: highlights, then notifications (encrypted first), then the rest", () => {
    const views = [
      view("!quiet"),
      view("!plain", { notificationCount: 90 }),
      view("!sealed", { notificationCount: 1, isEncrypted: true }),
      view("!sealed-quiet", { isEncrypted: true }),
      view("!called", { notificationCount: 1, highlightCount: 1 }),
      view("!called-much", { notificationCount: 9, highlightCount: 9, isEncrypted: true }),
    ];
    expect(order(["by_notification_level"], views)).toBe("!called !called-much !sealed !plain !quiet !sealed-quiet");
  });

  test("[SRT-4] by_highlight_count and by_notification_count: most first", () => {
    const views = [
      view("!a", { highlightCount: 1, notificationCount: 9 }),
      view("!b", { highlightCount: 2, notificationCount: 3 }),
    ];
    expect(order(["by_highlight_count"], views)).toBe("!b !a");
    expect(order(["by_notification_count"], views)).toBe("!a !b");
  });

  test("[SRT-5] later sorts break ties of earlier ones", () => {
    const views = [
      view("!a", { recencyTs: 1, notificationCount: 1 }),
      view("!b", { recencyTs: 3 }),
      view("!c", { recencyTs: 2, notificationCount: 5 }),
    ];
    expect(order(["by_notification_level", "by_recency"], views)).toBe("!c !a !b");
    expect(order(["by_recency", "by_notification_level"], views)).toBe("!b !c !a");
  });

  test("[SRT-6] names the first sort nobody knows", () => {
    expect(
      unknownSort(["by_recency", "by_name", "by_notification_level", "by_highlight_count", "by_notification_count"]),
    ).toBeNull();
    expect(unknownSort([])).toBeNull();
    expect(unknownSort(["by_name", "by_magic", "by_luck"])).toBe("by_magic");
    expect(unknownSort(["constructor"])).toBe("constructor");
  });
});
