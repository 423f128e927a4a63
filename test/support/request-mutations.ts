import fc from "fast-check";

type Path = readonly (string | number)[];

/** One change of a JSON document, in a place found by counting. */
interface Mutation {
  kind: "replace" | "remove" | "rename" | "add" | "repeat" | "swap";
  at: number;
  other: number;
  value: unknown;
  name: string;
}

const FULL = 2 ** 31;
/** Names that mean something to somebody. */
const NAMES = ["lists", "ranges", "SORT", "filters", "__proto__", "constructor", "toString", "since", "limit", "", "*"];

/** Values that are on the edge of something. */
const edge: fc.Arbitrary<unknown> = fc.oneof(
  fc.constantFrom<unknown>(null, true, false, 0, 1, -1, 5.5, 99, 1e6, 2 ** 31, 2 ** 53, 2 ** 63, -(2 ** 63), 1e300),
  fc.constantFrom("", " ", "*", "$ME", "$LAZY", "!a:test", "by_name", "by_luck", "\u0000", "\ud800", "é".repeat(40)),
  fc.nat(2000).map((length) => "x".repeat(length)),
  fc.constantFrom<unknown>([], {}, [[]], [null], { k: null }, [[0]], [[1, 0]], [[0, 1, 2]], [["a", "b", "c"]]),
  fc.array(fc.tuple(fc.integer({ min: -1, max: 30 }), fc.integer({ min: 0, max: 40 })), { maxLength: 4 }),
  fc.nat(150).map((length) => Array.from({ length }, (_, index) => `n${index}`)),
  fc.nat(200).map((depth) => nested(depth)),
  fc.jsonValue({ maxDepth: 2 }),
);

const mutation: fc.Arbitrary<Mutation> = fc.record({
  kind: fc.constantFrom("replace", "remove", "rename", "add", "repeat", "swap"),
  at: fc.nat(FULL),
  other: fc.nat(FULL),
  value: edge,
  name: fc.oneof(fc.constantFrom(...NAMES), fc.string({ maxLength: 80 })),
});

/** A text made of one of these documents: mostly JSON that is nearly right, sometimes text that is nearly JSON. */
export const mutated = (documents: readonly unknown[]): fc.Arbitrary<string> =>
  fc
    .record({
      document: fc.constantFrom(...documents),
      mutations: fc.array(mutation, { maxLength: 5 }),
      text: fc.oneof(
        { weight: 5, arbitrary: fc.constant(null) },
        {
          weight: 1,
          arbitrary: fc.record({ at: fc.nat(FULL), insert: fc.string({ maxLength: 5 }), cut: fc.nat(3) }),
        },
      ),
    })
    .map(({ document, mutations, text }) => {
      const json = JSON.stringify(mutations.reduce(mutate, structuredClone(document))) ?? "";
      if (text === null) return json;
      const at = text.at % (json.length + 1);
      return json.slice(0, at) + text.insert + json.slice(at + text.cut);
    });

function mutate(document: unknown, { kind, at, other, value: shared, name }: Mutation): unknown {
  const value: unknown = structuredClone(shared);
  const paths = [...pathsOf(document)];
  const path = paths[at % paths.length] ?? [];
  const last = path.at(-1);
  const parent = path.length === 0 ? undefined : read(document, path.slice(0, -1));
  if (last === undefined || parent === undefined) return kind === "replace" && at % 50 === 0 ? value : document;
  switch (kind) {
    case "replace":
      write(parent, last, value);
      break;
    case "remove":
      if (Array.isArray(parent)) parent.splice(Number(last), 1);
      else delete (parent as Record<string, unknown>)[last];
      break;
    case "rename":
    case "add":
      if (Array.isArray(parent)) parent.push(value);
      else {
        write(
          parent,
          kind === "rename" && at % 2 === 0 ? String(last).toUpperCase() : name,
          structuredClone(read(document, path)),
        );
        if (kind === "rename") delete (parent as Record<string, unknown>)[last];
      }
      break;
    case "repeat":
      write(parent, last, Array(other % 40).fill(read(document, path)));
      break;
    case "swap":
      write(parent, last, structuredClone(read(document, paths[other % paths.length] ?? [])));
  }
  return document;
}

function* pathsOf(value: unknown, path: Path = []): Generator<Path> {
  yield path;
  if (typeof value !== "object" || value === null || path.length > 8) return;
  if (Array.isArray(value)) for (const [index, item] of value.entries()) yield* pathsOf(item, [...path, index]);
  else for (const [key, item] of Object.entries(value)) yield* pathsOf(item, [...path, key]);
}

const read = (value: unknown, path: Path): unknown =>
  path.reduce<unknown>((at, key) => (at as Record<string | number, unknown>)[key], value);

function write(parent: unknown, key: string | number, value: unknown): void {
  Object.defineProperty(parent, key, { value, enumerable: true, configurable: true, writable: true });
}

function nested(depth: number): unknown {
  let value: unknown = 0;
  for (let at = 0; at < depth; at += 1) value = at % 2 === 0 ? [value] : { k: value };
  return value;
}
