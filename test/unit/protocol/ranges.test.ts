import { describe, expect, test } from "bun:test";
import { clampRange, containsIndex, diffRanges, type Range, rangeAt, rangesProblem } from "#src/protocol/ranges.ts";

describe("rangesProblem", () => {
  const valid: Range[][] = [
    [],
    [[0, 0]],
    [
      [0, 2],
      [3, 5],
    ],
    [
      [5, 7],
      [0, 2],
    ],
    [[0, Number.MAX_SAFE_INTEGER]],
  ];
  test.each(valid.map((ranges) => [ranges] as const))("[WIN-1] %j is valid", (ranges) => {
    expect(rangesProblem(ranges)).toBeNull();
  });

  const invalid: [Range[], string][] = [
    [[[-1, 3]], "starts below 0"],
    [[[7, 0]], "ends before it starts"],
    [
      [
        [0, 2],
        [2, 5],
      ],
      "overlaps",
    ],
    [
      [
        [5, 9],
        [0, 5],
      ],
      "overlaps",
    ],
    [
      [
        [0, 20],
        [5, 6],
      ],
      "overlaps",
    ],
    [
      [
        [0, 1],
        [0, 1],
      ],
      "overlaps",
    ],
  ];
  test.each(invalid)("[WIN-1] %j is invalid", (ranges, why) => {
    expect(rangesProblem(ranges)).toContain(why);
  });
});

describe("diffRanges", () => {
  const vectors: { before: Range[]; after: Range[]; added: Range[]; removed: Range[] }[] = [
    { before: [[0, 9]], after: [[5, 15]], added: [[10, 15]], removed: [[0, 4]] },
    {
      before: [[0, 20]],
      after: [[5, 15]],
      added: [],
      removed: [
        [0, 4],
        [16, 20],
      ],
    },
    { before: [[10, 20]], after: [[20, 30]], added: [[21, 30]], removed: [[10, 19]] },
    {
      before: [[0, 9]],
      after: [
        [0, 9],
        [10, 19],
      ],
      added: [[10, 19]],
      removed: [],
    },
    {
      before: [
        [10, 20],
        [40, 50],
        [70, 80],
        [100, 110],
      ],
      after: [
        [0, 15],
        [40, 50],
        [80, 90],
        [111, 120],
      ],
      added: [
        [0, 9],
        [81, 90],
        [111, 120],
      ],
      removed: [
        [16, 20],
        [70, 79],
        [100, 110],
      ],
    },
    {
      before: [
        [0, 2],
        [5, 7],
      ],
      after: [
        [5, 7],
        [0, 2],
      ],
      added: [],
      removed: [],
    },
    { before: [[2, 2]], after: [[2, 3]], added: [[3, 3]], removed: [] },
    { before: [[0, 5]], after: [[0, 0]], added: [], removed: [[1, 5]] },
    // The reference loses the one-index pieces of these (spec 12.2, row 7.1); the exact set difference is intended.
    {
      before: [[0, 3]],
      after: [
        [0, 3],
        [6, 6],
      ],
      added: [[6, 6]],
      removed: [],
    },
    {
      before: [
        [0, 3],
        [6, 6],
        [9, 11],
      ],
      after: [[30, 40]],
      added: [[30, 40]],
      removed: [
        [0, 3],
        [6, 6],
        [9, 11],
      ],
    },
    { before: [[5, 5]], after: [[0, 0]], added: [[0, 0]], removed: [[5, 5]] },
    // And it makes empty pieces of these; nothing changes for the client.
    {
      before: [
        [0, 2],
        [3, 5],
      ],
      after: [[0, 5]],
      added: [],
      removed: [],
    },
    {
      before: [[0, 5]],
      after: [
        [0, 2],
        [3, 5],
      ],
      added: [],
      removed: [],
    },
    { before: [[0, 9]], after: [], added: [], removed: [[0, 9]] },
    {
      before: [[2, 12]],
      after: [
        [0, 3],
        [6, 6],
        [9, 11],
      ],
      added: [[0, 1]],
      removed: [
        [4, 5],
        [7, 8],
        [12, 12],
      ],
    },
  ];
  test.each(vectors)("[WIN-2] $before to $after", ({ before, after, added, removed }) => {
    expect(diffRanges(before, after)).toEqual({ added, removed });
  });

  test("[WIN-2] leaves its arguments as they are", () => {
    const before: Range[] = [
      [5, 7],
      [0, 2],
    ];
    diffRanges(before, [[1, 6]]);
    expect(before).toEqual([
      [5, 7],
      [0, 2],
    ]);
  });
});

describe("windows", () => {
  test("[WIN-3] are clamped to the list", () => {
    expect(clampRange([0, 9], 5)).toEqual([0, 4]);
    expect(clampRange([4, 4], 5)).toEqual([4, 4]);
    expect(clampRange([5, 9], 5)).toBeNull();
    expect(clampRange([0, 0], 0)).toBeNull();
  });

  test("[WIN-3] hold both their ends", () => {
    const ranges: Range[] = [
      [2, 4],
      [7, 7],
    ];
    expect([1, 2, 4, 5, 7, 8].map((index) => containsIndex(ranges, index))).toEqual([
      false,
      true,
      true,
      false,
      true,
      false,
    ]);
    expect(rangeAt(ranges, 4)).toBe(ranges[0] ?? null);
    expect(rangeAt(ranges, 5)).toBeNull();
  });
});
