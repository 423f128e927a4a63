import { describe, expect, test } from "bun:test";
import type { ListRequest } from "#src/protocol/request.ts";
import { ListBoard, nidOf } from "#test/support/list-board.ts";

type Ranges = NonNullable<ListRequest["ranges"]>;

const ALPHABET = "abcdefghijklmnopqrstuvwxyz";

/** `g>1`: g goes to index 1; `+x@2`: x comes, at index 2; `-a`: a goes. */
function play(board: ListBoard, change: string): void {
  const [, kind, letter = "", , index] = /^([+-]?)(\w)(?:([>@])(\d+))?$/.exec(change) ?? [];
  if (kind === "-") board.remove(letter);
  else if (kind === "+") board.add(letter, Number(index));
  else board.move(letter, Number(index));
}

/** Windows, list, changes in one response => operations, and the rooms that come whole. */
type Vector = [ranges: Ranges, list: string, changes: string, ops: string, shown: string];

const WIDE: Ranges = [[0, 20]];
const FIRST: Ranges = [[0, 2]];
const INNER: Ranges = [[1, 3]];
const TWO: Ranges = [
  [0, 2],
  [5, 7],
];
const INNER_TWO: Ranges = [
  [1, 3],
  [5, 7],
];
const TOUCHING: Ranges = [
  [0, 2],
  [3, 5],
];
const BACKWARDS: Ranges = [
  [5, 7],
  [0, 2],
];
const THREE: Ranges = [
  [0, 2],
  [10, 12],
  [17, 19],
];
const LATE: Ranges = [
  [2, 5],
  [6, 8],
];

const inOneWindow: Vector[] = [
  [WIDE, "", "+a@0", "DELETE 0, INSERT 0 a", "a"],
  [WIDE, "abc", "+d@3", "DELETE 3, INSERT 3 d", "d"],
  [WIDE, "abcd", "+x@2", "DELETE 4, INSERT 2 x", "x"],
  [WIDE, "abcde", "-b", "DELETE 1", ""],
  [WIDE, "a", "-a", "DELETE 0", ""],
  [INNER, "abcdef", "-a", "DELETE 1, INSERT 3 e", "e"],
  [INNER, "abcdef", "-b", "DELETE 1, INSERT 3 e", "e"],
  [INNER, "abcdef", "-d", "DELETE 3, INSERT 3 e", "e"],
  [INNER, "abcdef", "-e", "", ""],
  [FIRST, "abcdef", "f>0", "DELETE 2, INSERT 0 f", "f"],
  [FIRST, "abcdef", "a>4", "DELETE 0, INSERT 2 d", "d"],
  [INNER, "abcdef", "a>4", "DELETE 1, INSERT 3 e", "e"],
  [[[2, 4]], "abcdef", "+x@1", "DELETE 4, INSERT 2 b", "b"],
  [INNER, "abcdef", "+x@0", "DELETE 3, INSERT 1 a", "a"],
  [FIRST, "abcd", "+e@4", "", ""],
  [FIRST, "abcdef", "b>1", "", ""],
];
const inSeveral: Vector[] = [
  [TWO, "abcdefghi", "g>1", "DELETE 6, INSERT 5 e, DELETE 2, INSERT 1 g", "e"],
  [TWO, "abcdefghi", "b>6", "DELETE 1, INSERT 2 d, DELETE 5, INSERT 6 b", "d"],
  [INNER_TWO, "abcdefghi", "i>0", "DELETE 3, INSERT 1 a, DELETE 7, INSERT 5 e", "ae"],
  [INNER_TWO, "abcdefghi", "f>1", "DELETE 5, INSERT 5 e, DELETE 3, INSERT 1 f", "e"],
  [INNER_TWO, "abcdefghi", "-a", "DELETE 5, INSERT 7 i, DELETE 1, INSERT 3 e", "ie"],
  [INNER_TWO, "abcdefghij", "-a", "DELETE 1, INSERT 3 e, DELETE 5, INSERT 7 i", "ei"],
  [THREE, "abcdefghijklmnopqrst", "s>0", "DELETE 18, INSERT 17 q, DELETE 2, INSERT 0 s, DELETE 12, INSERT 10 j", "qj"],
  [BACKWARDS, "abcdefghi", "i>0", "DELETE 2, INSERT 0 i, DELETE 7, INSERT 5 e", "ie"],
  [TWO, "abcdefghi", "d>4", "", ""],
  [TWO, "abcdefghi", "i>3", "DELETE 7, INSERT 5 e", "e"],
  [TWO, "abcdefghi", "d>8", "DELETE 5, INSERT 7 i", "i"],
  [TWO, "abcdefghi", "h>3", "DELETE 7, INSERT 5 e", "e"],
  [TWO, "abcdefghi", "e>5", "DELETE 5, INSERT 5 e", "e"],
];
const atEdges: Vector[] = [
  [TOUCHING, "abcdefg", "g>0", "DELETE 2, INSERT 0 g, DELETE 5, INSERT 3 c", "gc"],
  [TOUCHING, "abcdefg", "a>4", "DELETE 0, INSERT 2 d, DELETE 3, INSERT 4 a", "d"],
  // g was never shown: it comes with its data.
  [TOUCHING, "abcdefg", "-a", "DELETE 0, INSERT 2 d, DELETE 3, INSERT 5 g", "dg"],
  [TOUCHING, "abcd", "-a", "DELETE 0", ""],
  [[[1, 1]], "abc", "c>0", "DELETE 1, INSERT 1 a", "a"],
  [[[1, 1]], "abc", "b>0", "DELETE 1, INSERT 1 a", "a"],
  [[[1, 1]], "abc", "a>2", "DELETE 1, INSERT 1 c", "c"],
  [[[1, 1]], "abc", "c>1", "DELETE 1, INSERT 1 c", "c"],
];
const lastRoom: Vector[] = [
  // The last room is pulled into view: with its data.
  [FIRST, "abcd", "-a", "DELETE 0, INSERT 2 d", "d"],
  [FIRST, "abcd", "-c", "DELETE 2, INSERT 2 d", "d"],
  [[[0, 0]], "ab", "-a", "DELETE 0, INSERT 0 b", "b"],
  [BACKWARDS, "abcdefghi", "-a", "DELETE 0, INSERT 2 d, DELETE 5, INSERT 7 i", "di"],
  // The last room goes whose index begins a window.
  [[[1, 20]], "ab", "-b", "DELETE 1", ""],
  [LATE, "abc", "-c", "DELETE 2", ""],
  [LATE, "abcdefg", "-g", "DELETE 6", ""],
  // It goes from behind a window: the client sees nothing of it.
  [FIRST, "abcd", "-d", "", ""],
  // The last of all, outside of all windows: no operation at all.
  [INNER, "a", "-a", "", ""],
];
const together: Vector[] = [
  [FIRST, "abcdef", "f>0 e>0", "DELETE 2, INSERT 0 f, DELETE 2, INSERT 0 e", "fe"],
  [FIRST, "abcdef", "f>0 f>0", "DELETE 2, INSERT 0 f", "f"],
  [WIDE, "abcde", "-b -d", "DELETE 3, DELETE 1", ""],
  [WIDE, "abcde", "-d -b", "DELETE 3, DELETE 1", ""],
  [WIDE, "abcde", "-b e>0", "DELETE 4, INSERT 0 e, DELETE 2", ""],
  [
    [
      [0, 1],
      [3, 5],
    ],
    "abcd",
    "-a -b",
    "DELETE 1, INSERT 1 c, DELETE 3, DELETE 0, INSERT 1 d",
    "cd",
  ],
];

describe("a list of a connection", () => {
  const run = (vectors: Vector[], title: string): void =>
    test.each(vectors)(title, (ranges, list, changes, ops, shown) => {
      const board = new ListBoard(list, { ranges });
      board.next();
      for (const change of changes.split(" ")) play(board, change);
      expect(board.next()).toMatchObject({ ops, shown });
    });

  run(inOneWindow, "[OPS-12] tells of one room and one window: %j %s %s => %s; %s");
  run(inSeveral, "[OPS-13] tells each window that a room crosses: %j %s %s => %s; %s");
  run(
    atEdges,
    "[OPS-14] takes windows that touch for separate ones, and one-index ones for windows: %j %s %s => %s; %s",
  );
  run(lastRoom, "[OPS-15] tells of its last room what the client needs, and no more: %j %s %s => %s; %s");
  run(together, "[OPS-16] tells of several changes one after another: %j %s %s => %s; %s");

  test("[OPS-17] is counted in every response, whatever its windows are", () => {
    const board = new ListBoard("abc", { ranges: [[0, 0]] });
    expect(board.next().count).toBe(3);
    expect(board.next()).toEqual({ ops: "", shown: "", count: 3 });
    expect(board.add("d", 3).next()).toEqual({ ops: "", shown: "", count: 4 });
    expect(board.remove("b").next()).toEqual({ ops: "", shown: "", count: 3 });
    expect(new ListBoard("abc").next()).toEqual({ ops: "", shown: "", count: 3 });
    expect(new ListBoard("", { ranges: [[0, 9]] }).next()).toEqual({ ops: "", shown: "", count: 0 });
  });
});

describe("a request about a list", () => {
  const asked = (list: string, ranges: Ranges, request: ListRequest): string => {
    const board = new ListBoard(list, { ranges });
    board.next();
    return board.ask(request).next().ops;
  };
  const letters = (start: number, end: number): string => ALPHABET.slice(start, end + 1);

  test.each<[list: string, before: Ranges, after: Ranges, ops: string]>([
    [ALPHABET, [[0, 9]], [[5, 15]], `INVALIDATE [0,4], SYNC [10,15] ${letters(10, 15)}`],
    [ALPHABET, [[10, 20]], [[20, 30]], `INVALIDATE [10,19], SYNC [21,25] ${letters(21, 25)}`],
    [ALPHABET, [[20, 30]], [[0, 9]], `INVALIDATE [20,25], SYNC [0,9] ${letters(0, 9)}`],
    [
      ALPHABET,
      [[2, 12]],
      [
        [0, 3],
        [6, 6],
        [9, 11],
      ],
      "INVALIDATE [4,5], INVALIDATE [7,8], INVALIDATE [12,12], SYNC [0,1] ab",
    ],
    ["abc", [[1, 10]], [[2, 20]], "INVALIDATE [1,1]"],
    ["abc", [[2, 20]], [[5, 20]], "INVALIDATE [2,2]"],
    ["abcdefgh", [[0, 2]], [[0, 5]], "SYNC [3,5] def"],
    ["abcdefgh", TWO, [], "INVALIDATE [0,2], INVALIDATE [5,7]"],
    ["abcdefgh", [], BACKWARDS, "SYNC [5,7] fgh, SYNC [0,2] abc"],
    ["abcdefgh", TWO, BACKWARDS, ""],
    // One index more, one index less, and windows that merge or split.
    [
      "abcdefgh",
      [[0, 3]],
      [
        [0, 3],
        [6, 6],
      ],
      "SYNC [6,6] g",
    ],
    ["abcdefgh", [[5, 5]], [[0, 0]], "INVALIDATE [5,5], SYNC [0,0] a"],
    ["abcdefgh", TOUCHING, [[0, 5]], ""],
    ["abcdefgh", [[0, 5]], TOUCHING, ""],
  ])("[OPS-18] changes its windows by what is new and what is gone: %s %j to %j => %s", (list, before, after, ops) => {
    expect(asked(list, before, { ranges: after })).toBe(ops);
  });

  test("[OPS-19] makes it anew under another filter: the old windows go, the new ones come", () => {
    const board = new ListBoard("abcdef", { ranges: [[1, 4]] });
    expect(board.next()).toEqual({ ops: "SYNC [1,4] bcde", shown: "bcde", count: 6 });
    expect(board.ask({ filters: { room_name_like: "nothing" } }).next()).toEqual({
      ops: "INVALIDATE [1,4]",
      shown: "",
      count: 0,
    });
    expect(board.ask({ filters: { room_name_like: "" } }).next()).toEqual({
      ops: "SYNC [1,4] bcde",
      shown: "bcde",
      count: 6,
    });
  });

  test("[OPS-19] covers ranges and limits that change together with sort or filters", () => {
    const request: ListRequest = { sort: ["by_name"], ranges: [[1, 4]], timeline_limit: 7 };
    const board = new ListBoard("abcdef", { ranges: [[0, 2]] });
    board.next();
    // By name the rooms stand as their numbers do.
    expect(board.ask(request).next()).toEqual({ ops: "INVALIDATE [0,2], SYNC [1,4] bcde", shown: "bcde", count: 6 });
  });

  test("[OPS-20] a new list is one SYNC for each range, in the client's order, within the list", () => {
    const board = new ListBoard("abcdef", {
      ranges: [
        [4, 9],
        [0, 1],
        [6, 8],
      ],
    });
    expect(board.next()).toEqual({ ops: "SYNC [4,5] ef, SYNC [0,1] ab", shown: "efab", count: 6 });
  });

  test("[OPS-21] is answered before the updates that wait", () => {
    const board = new ListBoard("ba", { ranges: [[0, 0]] });
    board.next();
    expect(
      board
        .move("a", 0)
        .ask({ ranges: [[0, 1]] })
        .next(),
    ).toEqual({ ops: "SYNC [1,1] a, DELETE 1, INSERT 0 a", shown: "a", count: 2 });
  });

  test("[OPS-23] names no room that was left meanwhile: all that is held is replaced by the windows as they are", () => {
    const board = new ListBoard("abcdef", { ranges: [[0, 2]] });
    board.next();
    // Of e the connection is not told yet: it goes when it would be shown.
    board.world.set(nidOf("e"), { membership: "ban", leftPos: 11 });
    expect(
      board
        .remove("a")
        .ask({ ranges: [[0, 9]] })
        .next(),
    ).toEqual({ ops: "INVALIDATE [0,2], SYNC [0,3] bcdf", shown: "df", count: 4 });
  });

  test("[OPS-22] that deletes it ends it without a word, and it can come back", () => {
    const board = new ListBoard("abc", { ranges: [[0, 1]] });
    board.next();
    board.move("c", 0).ask({ deleted: true });
    expect(board.draft().lists).toEqual([]);
    expect(board.ask({ ranges: [[0, 1]], filters: {} }).next()).toEqual({
      ops: "SYNC [0,1] ca",
      shown: "ca",
      count: 3,
    });
  });
});
