import { describe, expect, test } from "bun:test";
import {
  type ListOp,
  type ListOps,
  opsForMove,
  opsForNewList,
  opsForRangeChange,
  opsForRebuild,
} from "#src/protocol/list-ops.ts";
import type { Range } from "#src/protocol/ranges.ts";

/** Lists are strings: one letter is one room. */
const roomAt = (list: string) => (index: number) => {
  const room = list[index];
  if (room === undefined) throw new Error(`no room at ${index} of ${list}`);
  return room;
};

function write({ ops, shown }: ListOps<string>): { ops: string; shown: string } {
  const parts = ops.map((op: ListOp<string>) => {
    switch (op.op) {
      case "SYNC":
        return `SYNC [${op.range.join()}] ${op.rooms.join("")}`;
      case "INVALIDATE":
        return `INVALIDATE [${op.range.join()}]`;
      case "DELETE":
        return `DELETE ${op.index}`;
      case "INSERT":
        return `INSERT ${op.index} ${op.room}`;
    }
  });
  return { ops: parts.join(", "), shown: shown.join("") };
}

/** `from` and `to` are indices before and after; null = not in the list. */
function move(ranges: Range[], before: string, room: string, to: number | null): { ops: string; shown: string } {
  const index = before.indexOf(room);
  const from = index < 0 ? null : index;
  const rest = before.replace(room, "");
  const after = to === null ? rest : rest.slice(0, to) + room + rest.slice(to);
  return write(opsForMove({ ranges, from, to, length: after.length, at: roomAt(after) }));
}

interface Vector {
  ranges: Range[];
  list: string;
  room: string;
  to: number | null;
  ops: string;
  shown: string;
}

const vector = (ranges: Range[], list: string, room: string, to: number | null, ops: string, shown = ""): Vector => ({
  ranges,
  list,
  room,
  to,
  ops,
  shown,
});

describe("opsForMove", () => {
  const WIDE: Range[] = [[0, 20]];
  const TWO: Range[] = [
    [0, 2],
    [5, 7],
  ];
  const INNER: Range[] = [
    [1, 3],
    [5, 7],
  ];
  const TOUCHING: Range[] = [
    [0, 2],
    [3, 5],
  ];
  const vectors: Vector[] = [
    vector(WIDE, "", "a", 0, "DELETE 0, INSERT 0 a", "a"),
    vector(WIDE, "abc", "d", 3, "DELETE 3, INSERT 3 d", "d"),
    vector(WIDE, "abcd", "x", 2, "DELETE 4, INSERT 2 x", "x"),
    vector(WIDE, "abcde", "b", null, "DELETE 1"),
    vector(WIDE, "a", "a", null, "DELETE 0"),
    vector([[1, 3]], "abcdef", "a", null, "DELETE 1, INSERT 3 e", "e"),
    vector([[1, 3]], "abcdef", "b", null, "DELETE 1, INSERT 3 e", "e"),
    vector([[1, 3]], "abcdef", "d", null, "DELETE 3, INSERT 3 e", "e"),
    vector([[1, 3]], "abcdef", "e", null, ""),
    vector([[0, 2]], "abcdef", "f", 0, "DELETE 2, INSERT 0 f", "f"),
    vector([[0, 2]], "abcdef", "a", 4, "DELETE 0, INSERT 2 d", "d"),
    vector([[1, 3]], "abcdef", "a", 4, "DELETE 1, INSERT 3 e", "e"),
    vector([[2, 4]], "abcdef", "x", 1, "DELETE 4, INSERT 2 b", "b"),
    vector(TWO, "abcdefghi", "g", 1, "DELETE 6, INSERT 5 e, DELETE 2, INSERT 1 g", "e"),
    vector(TWO, "abcdefghi", "b", 6, "DELETE 1, INSERT 2 d, DELETE 5, INSERT 6 b", "d"),
    vector(INNER, "abcdefghi", "i", 0, "DELETE 3, INSERT 1 a, DELETE 7, INSERT 5 e", "ae"),
    vector(INNER, "abcdefghi", "f", 1, "DELETE 5, INSERT 5 e, DELETE 3, INSERT 1 f", "e"),
    // The reference names i, the list's last room, without its data (12.2); every room not shown before gets it.
    vector(INNER, "abcdefghi", "a", null, "DELETE 5, INSERT 7 i, DELETE 1, INSERT 3 e", "ie"),
    vector(INNER, "abcdefghij", "a", null, "DELETE 1, INSERT 3 e, DELETE 5, INSERT 7 i", "ei"),
    vector(
      [
        [0, 2],
        [10, 12],
        [17, 19],
      ],
      "abcdefghijklmnopqrst",
      "s",
      0,
      "DELETE 18, INSERT 17 q, DELETE 2, INSERT 0 s, DELETE 12, INSERT 10 j",
      "qj",
    ),
    vector([[1, 3]], "abcdef", "x", 0, "DELETE 3, INSERT 1 a", "a"),
    // Touching windows are separate windows: what crosses from one into the other comes with its data.
    vector(TOUCHING, "abcdefg", "g", 0, "DELETE 2, INSERT 0 g, DELETE 5, INSERT 3 c", "gc"),
    vector(TOUCHING, "abcdefg", "a", 4, "DELETE 0, INSERT 2 d, DELETE 3, INSERT 4 a", "d"),
    vector(TOUCHING, "abcdefg", "a", null, "DELETE 0, INSERT 2 d, DELETE 3, INSERT 5 g", "dg"),
    vector(TOUCHING, "abcd", "a", null, "DELETE 0"),
    vector([[1, 1]], "abc", "c", 0, "DELETE 1, INSERT 1 a", "a"),
    vector([[1, 1]], "abc", "b", 0, "DELETE 1, INSERT 1 a", "a"),
    vector([[1, 1]], "abc", "a", 2, "DELETE 1, INSERT 1 c", "c"),
    vector([[1, 1]], "abc", "c", 1, "DELETE 1, INSERT 1 c", "c"),
    vector(
      [
        [5, 7],
        [0, 2],
      ],
      "abcdefghi",
      "i",
      0,
      "DELETE 2, INSERT 0 i, DELETE 7, INSERT 5 e",
      "ie",
    ),
    // Between two points outside all windows, and into the gap.
    vector(TWO, "abcdefghi", "d", 4, ""),
    vector(TWO, "abcdefghi", "i", 3, "DELETE 7, INSERT 5 e", "e"),
    vector(TWO, "abcdefghi", "d", 8, "DELETE 5, INSERT 7 i", "i"),
    vector(TWO, "abcdefghi", "h", 3, "DELETE 7, INSERT 5 e", "e"),
    vector(TWO, "abcdefghi", "e", 5, "DELETE 5, INSERT 5 e", "e"),
    vector([[0, 2]], "abcd", "e", 4, ""),
    // A removal that pulls in the list's last room: data is sent (12.2).
    vector([[0, 2]], "abcd", "a", null, "DELETE 0, INSERT 2 d", "d"),
    vector([[0, 2]], "abcd", "c", null, "DELETE 2, INSERT 2 d", "d"),
    vector([[0, 0]], "ab", "a", null, "DELETE 0, INSERT 0 b", "b"),
    vector(
      [
        [5, 7],
        [0, 2],
      ],
      "abcdefghi",
      "a",
      null,
      "DELETE 0, INSERT 2 d, DELETE 5, INSERT 7 i",
      "di",
    ),
    // A last room that starts a window: its DELETE (12.2; the reference crashes).
    vector([[1, 20]], "ab", "b", null, "DELETE 1"),
    vector(
      [
        [2, 5],
        [6, 8],
      ],
      "abc",
      "c",
      null,
      "DELETE 2",
    ),
    vector(
      [
        [2, 5],
        [6, 8],
      ],
      "abcdefg",
      "g",
      null,
      "DELETE 6",
    ),
    // A last room just past a window: nothing the client sees changes (12.2: no DELETE and INSERT of the same room).
    vector([[0, 2]], "abcd", "d", null, ""),
    // The last room of the list outside all windows: no null operation (12.2).
    vector([[1, 3]], "a", "a", null, ""),
    // A window that starts at the list's end loses its only room although the change lies before it.
    vector(
      [
        [0, 1],
        [3, 5],
      ],
      "abcd",
      "a",
      null,
      "DELETE 0, INSERT 1 c, DELETE 3",
      "c",
    ),
    // The DELETE without INSERT is last.
    vector(
      [
        [0, 1],
        [3, 4],
        [6, 9],
      ],
      "abcdefghi",
      "a",
      null,
      "DELETE 0, INSERT 1 c, DELETE 3, INSERT 4 f, DELETE 6",
      "cf",
    ),
    vector([[0, 20]], "abc", "b", 1, ""),
    vector([], "abc", "c", 0, ""),
  ];
  test.each(vectors)("[OPS-1] $ranges of $list: $room to $to", ({ ranges, list, room, to, ops, shown }) => {
    expect(move(ranges, list, room, to)).toEqual({ ops, shown });
  });

  test("[OPS-2] successive moves give successive operations", () => {
    const ranges: Range[] = [[0, 2]];
    expect(move(ranges, "abcdef", "f", 0)).toEqual({ ops: "DELETE 2, INSERT 0 f", shown: "f" });
    expect(move(ranges, "fabcde", "e", 0)).toEqual({ ops: "DELETE 2, INSERT 0 e", shown: "e" });
    expect(move(ranges, "fabcde", "f", 0)).toEqual({ ops: "", shown: "" });
  });

  test("[OPS-3] a room that was not there and does not come changes nothing", () => {
    expect(opsForMove({ ranges: [[0, 5]], from: null, to: null, length: 3, at: roomAt("abc") })).toEqual({
      ops: [],
      shown: [],
    });
  });

  const memberships: Vector[] = [
    vector([[0, 1]], "abc", "i", 0, "DELETE 1, INSERT 0 i", "i"),
    vector([[0, 1]], "iabc", "i", null, "DELETE 0, INSERT 1 b", "b"),
    vector([[0, 1]], "abcd", "c", 0, "DELETE 1, INSERT 0 c", "c"),
    vector([[0, 1]], "cabd", "c", null, "DELETE 0, INSERT 1 b", "b"),
    vector([[0, 1]], "", "c", 0, "DELETE 0, INSERT 0 c", "c"),
    vector([[0, 1]], "abcd", "c", null, ""),
    vector([[0, 2]], "abcd", "a", 3, "DELETE 0, INSERT 2 d", "d"),
    vector([[0, 1]], "habc", "h", 2, "DELETE 0, INSERT 1 b", "b"),
  ];
  test.each(memberships)(
    "[OPS-4] membership and sort changes: $list $room to $to",
    ({ ranges, list, room, to, ops, shown }) => {
      expect(move(ranges, list, room, to)).toEqual({ ops, shown });
    },
  );
});

const ALPHABET = "abcdefghijklmnopqrstuvwxyz";
const letters = (start: number, end: number): string => ALPHABET.slice(start, end + 1);

describe("opsForNewList", () => {
  test("[OPS-5] one SYNC for each window, in the client's order, clamped", () => {
    const written = write(
      opsForNewList(
        [
          [5, 7],
          [0, 2],
          [25, 40],
          [60, 70],
        ],
        26,
        roomAt(ALPHABET),
      ),
    );
    expect(written).toEqual({ ops: "SYNC [5,7] fgh, SYNC [0,2] abc, SYNC [25,25] z", shown: "fghabcz" });
  });

  test("[OPS-5] an empty list has nothing to sync", () => {
    expect(opsForNewList([[0, 20]], 0, roomAt(""))).toEqual({ ops: [], shown: [] });
  });
});

describe("opsForRangeChange", () => {
  interface RangeVector {
    list: string;
    before: Range[];
    after: Range[];
    ops: string;
  }
  const vectors: RangeVector[] = [
    { list: ALPHABET, before: [[0, 9]], after: [[5, 15]], ops: `INVALIDATE [0,4], SYNC [10,15] ${letters(10, 15)}` },
    {
      list: ALPHABET,
      before: [[10, 20]],
      after: [[20, 30]],
      ops: `INVALIDATE [10,19], SYNC [21,25] ${letters(21, 25)}`,
    },
    { list: ALPHABET, before: [[20, 30]], after: [[0, 9]], ops: `INVALIDATE [20,25], SYNC [0,9] ${letters(0, 9)}` },
    {
      list: ALPHABET,
      before: [[2, 12]],
      after: [
        [0, 3],
        [6, 6],
        [9, 11],
      ],
      ops: "INVALIDATE [4,5], INVALIDATE [7,8], INVALIDATE [12,12], SYNC [0,1] ab",
    },
    { list: "abc", before: [[1, 10]], after: [[2, 20]], ops: "INVALIDATE [1,1]" },
    { list: "abc", before: [[2, 20]], after: [[5, 20]], ops: "INVALIDATE [2,2]" },
    { list: "abcdefgh", before: [[0, 2]], after: [[0, 5]], ops: "SYNC [3,5] def" },
    {
      list: "abcdefgh",
      before: [
        [0, 2],
        [5, 6],
      ],
      after: [],
      ops: "INVALIDATE [0,2], INVALIDATE [5,6]",
    },
    {
      list: "abcdefgh",
      before: [],
      after: [
        [5, 6],
        [0, 2],
      ],
      ops: "SYNC [5,6] fg, SYNC [0,2] abc",
    },
    {
      list: "abcdefgh",
      before: [
        [0, 2],
        [5, 6],
      ],
      after: [
        [5, 6],
        [0, 2],
      ],
      ops: "",
    },
    { list: "ba", before: [[0, 0]], after: [[0, 1]], ops: "SYNC [1,1] a" },
    // One-index pieces are sent (12.2, row 7.1).
    {
      list: "abcdefgh",
      before: [[0, 3]],
      after: [
        [0, 3],
        [6, 6],
      ],
      ops: "SYNC [6,6] g",
    },
    {
      list: "abcdefgh",
      before: [
        [0, 2],
        [3, 5],
      ],
      after: [[0, 5]],
      ops: "",
    },
  ];
  test.each(vectors)("[OPS-6] $before to $after", ({ list, before, after, ops }) => {
    const result = opsForRangeChange(before, after, list.length, roomAt(list));
    expect(write(result).ops).toBe(ops);
    const synced = result.ops.flatMap((op) => (op.op === "SYNC" ? op.rooms : []));
    expect(result.shown).toEqual(synced);
  });
});

describe("opsForRebuild", () => {
  const rebuild = (before: Range[], beforeLength: number, after: Range[], list: string): string =>
    write(opsForRebuild(before, beforeLength, after, list.length, roomAt(list))).ops;

  test("[OPS-7] a filter that leaves one room, and its removal", () => {
    expect(rebuild([[1, 4]], 6, [[1, 4]], "a")).toBe("INVALIDATE [1,4]");
    expect(rebuild([[1, 4]], 1, [[1, 4]], "abcdef")).toBe("SYNC [1,4] bcde");
  });

  test("[OPS-7] sort and ranges changed at once", () => {
    expect(rebuild([[0, 2]], 6, [[1, 4]], "fedcba")).toBe("INVALIDATE [0,2], SYNC [1,4] edcb");
  });

  test("[OPS-7] old windows in the client's order, clamped to the old length", () => {
    expect(
      rebuild(
        [
          [5, 9],
          [0, 2],
          [20, 30],
        ],
        7,
        [[0, 0]],
        "x",
      ),
    ).toBe("INVALIDATE [5,6], INVALIDATE [0,2], SYNC [0,0] x");
  });
});
