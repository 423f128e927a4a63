import fc from "fast-check";

/** Whitespace of JSON, mostly none. */
const space = fc.oneof(
  { weight: 6, arbitrary: fc.constant("") },
  { weight: 1, arbitrary: fc.constantFrom(" ", "\n", "\t ", "\r\n") },
);

/** String literals: plain text, other alphabets, odd and redundant escapes, lone surrogates as escapes. */
const jsonString: fc.Arbitrary<string> = fc
  .array(
    fc.oneof(
      fc.constantFrom(
        "a",
        "b",
        "membership",
        "é",
        "\u{1F600}",
        " ",
        "/",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "\u007f",
        "\uFEFF",
      ),
      fc.constantFrom(
        String.raw`\"`,
        String.raw`\\`,
        String.raw`\/`,
        String.raw`\n`,
        String.raw`\u0000`,
        String.raw`\ud800`,
        String.raw`\uDFFF`,
        String.raw`\u0061`,
        String.raw`\ud83d\ude00`,
      ),
    ),
    { maxLength: 6 },
  )
  .map((parts) => `"${parts.join("")}"`);

const jsonNumber = fc.oneof(
  fc.integer().map(String),
  fc.bigInt(-(2n ** 200n), 2n ** 200n).map(String),
  fc.constantFrom("0", "-0", "1.0", "1e5", "-1.50E-7", "0.1", "1E+400"),
);

/** JSON texts that no serialiser writes alike: whitespace, repeated keys, big numbers, odd escapes. */
export const jsonText: fc.Arbitrary<string> = fc.letrec<{ value: string; members: string; items: string }>((tie) => ({
  value: fc.oneof(
    { depthSize: "small", withCrossShrink: true },
    fc.oneof(jsonString, jsonNumber, fc.constantFrom("true", "false", "null", "{}", "[ ]")),
    tie("members"),
    tie("items"),
  ),
  members: fc
    .array(fc.tuple(fc.oneof(jsonString, fc.constantFrom('"a"', '"b"')), tie("value"), space, space), { maxLength: 4 })
    .map((members) => `{${members.map(([key, value, s, t]) => `${s}${key}${t}:${s}${value}${t}`).join(",")}}`),
  items: fc
    .array(fc.tuple(tie("value"), space), { maxLength: 4 })
    .map((items) => `[${items.map(([value, s]) => `${s}${value}${s}`).join(",")}]`),
})).value;

/** A JSON value inside many brackets. */
export const deepText: fc.Arbitrary<string> = fc
  .tuple(fc.integer({ min: 1, max: 3000 }), jsonText, fc.boolean())
  .map(([depth, text, isObject]) =>
    isObject
      ? `${'{"a":'.repeat(depth)}${text}${"}".repeat(depth)}`
      : `${"[".repeat(depth)}${text}${"]".repeat(depth)}`,
  );
