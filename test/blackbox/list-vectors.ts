/** What happens to a room of the list. */
export type Step = { move: string; to: number } | { add: string; at: number } | { remove: string };
/** Windows, rooms in order, what happens (each in a poll of its own), operations as text, rooms that come whole. */
export type Vector = [windows: [number, number][], rooms: string, steps: Step[], ops: string, whole: string];

/** From the tables of the specification; where the Go proxy had bugs, what was meant. */
export const VECTORS: Vector[] = [
  [[[0, 20]], "", [{ add: "a", at: 0 }], "D0 I0a", "a"],
  [[[0, 20]], "abc", [{ add: "d", at: 3 }], "D3 I3d", "d"],
  [[[0, 20]], "abcd", [{ add: "x", at: 2 }], "D4 I2x", "x"],
  [[[0, 20]], "abcde", [{ remove: "b" }], "D1", ""],
  [[[0, 20]], "a", [{ remove: "a" }], "D0", ""],
  [[[1, 3]], "abcdef", [{ remove: "a" }], "D1 I3e", "e"],
  [[[1, 3]], "abcdef", [{ remove: "b" }], "D1 I3e", "e"],
  [[[1, 3]], "abcdef", [{ remove: "d" }], "D3 I3e", "e"],
  [[[1, 3]], "abcdef", [{ remove: "e" }], "", ""],
  [[[0, 2]], "abcdef", [{ move: "f", to: 0 }], "D2 I0f", "f"],
  [[[0, 2]], "abcdef", [{ move: "a", to: 4 }], "D0 I2d", "d"],
  [[[1, 3]], "abcdef", [{ move: "a", to: 4 }], "D1 I3e", "e"],
  [[[2, 4]], "abcdef", [{ add: "x", at: 1 }], "D4 I2b", "bx"],
  [[[1, 3]], "abcdef", [{ add: "x", at: 0 }], "D3 I1a", "ax"],
  [
    [
      [0, 2],
      [5, 7],
    ],
    "abcdefghi",
    [{ move: "g", to: 1 }],
    "D6 I5e D2 I1g",
    "e",
  ],
  [
    [
      [0, 2],
      [5, 7],
    ],
    "abcdefghi",
    [{ move: "b", to: 6 }],
    "D1 I2d D5 I6b",
    "d",
  ],
  [
    [
      [1, 3],
      [5, 7],
    ],
    "abcdefghi",
    [{ move: "i", to: 0 }],
    "D3 I1a D7 I5e",
    "ae",
  ],
  [
    [
      [1, 3],
      [5, 7],
    ],
    "abcdefghi",
    [{ move: "f", to: 1 }],
    "D5 I5e D3 I1f",
    "e",
  ],
  [
    [
      [1, 3],
      [5, 7],
    ],
    "abcdefghi",
    [{ remove: "a" }],
    "D5 I7i D1 I3e",
    "ei",
  ],
  [
    [
      [1, 3],
      [5, 7],
    ],
    "abcdefghij",
    [{ remove: "a" }],
    "D1 I3e D5 I7i",
    "ei",
  ],
  [
    [
      [0, 2],
      [10, 12],
      [17, 19],
    ],
    "abcdefghijklmnopqrst",
    [{ move: "s", to: 0 }],
    "D18 I17q D2 I0s D12 I10j",
    "qj",
  ],
  [
    [
      [0, 2],
      [5, 7],
    ],
    "abcdefghi",
    [{ move: "i", to: 3 }],
    "D7 I5e",
    "e",
  ],
  [
    [
      [0, 2],
      [5, 7],
    ],
    "abcdefghi",
    [{ move: "d", to: 8 }],
    "D5 I7i",
    "i",
  ],
  [
    [
      [0, 2],
      [5, 7],
    ],
    "abcdefghi",
    [{ move: "h", to: 3 }],
    "D7 I5e",
    "e",
  ],
  [
    [
      [0, 2],
      [5, 7],
    ],
    "abcdefghi",
    [{ move: "e", to: 5 }],
    "D5 I5e",
    "e",
  ],
  [
    [
      [0, 2],
      [3, 5],
    ],
    "abcdefg",
    [{ move: "g", to: 0 }],
    "D2 I0g D5 I3c",
    "gc",
  ],
  [
    [
      [0, 2],
      [3, 5],
    ],
    "abcdefg",
    [{ move: "a", to: 4 }],
    "D0 I2d D3 I4a",
    "d",
  ],
  [
    [
      [0, 2],
      [3, 5],
    ],
    "abcd",
    [{ remove: "a" }],
    "D0",
    "",
  ],
  [[[1, 1]], "abc", [{ move: "c", to: 0 }], "D1 I1a", "a"],
  [[[1, 1]], "abc", [{ move: "b", to: 0 }], "D1 I1a", "a"],
  [[[1, 1]], "abc", [{ move: "a", to: 2 }], "D1 I1c", "c"],
  [[[1, 1]], "abc", [{ move: "c", to: 1 }], "D1 I1c", "c"],
  [
    [
      [5, 7],
      [0, 2],
    ],
    "abcdefghi",
    [{ move: "i", to: 0 }],
    "D2 I0i D7 I5e",
    "ie",
  ],
  [
    [[0, 2]],
    "abcdef",
    [
      { move: "f", to: 0 },
      { move: "e", to: 0 },
    ],
    "D2 I0f D2 I0e",
    "fe",
  ],
  [[[0, 2]], "abcd", [{ remove: "a" }], "D0 I2d", "d"],
  [[[0, 2]], "abcd", [{ remove: "c" }], "D2 I2d", "d"],
  [[[0, 2]], "abcd", [{ remove: "d" }], "", ""],
  [[[0, 0]], "ab", [{ remove: "a" }], "D0 I0b", "b"],
  [[[1, 20]], "ab", [{ remove: "b" }], "D1", ""],
];
