import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { redactEvent, relatedEvent, withoutEcho } from "#src/protocol/redaction.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const parse = (bytes: Uint8Array | null): unknown =>
  bytes === null ? null : JSON.parse(new TextDecoder().decode(bytes));
type Members = Record<string, unknown>;

const KEPT = ["event_id", "type", "room_id", "sender", "state_key", "hashes", "signatures", "depth", "prev_events"];
const OLDER = ["origin", "membership", "prev_state"];
const TYPES = ["m.room.message", "m.room.member", "m.room.create", "m.room.join_rules", "m.room.name"];
const VERSIONS = ["1", "5", "6", "8", "9", "10", "11", "12"];
const names = fc.constantFrom(...KEPT, ...OLDER, "extra", "redacts", '\u00e9"\\');
const content = fc.dictionary(
  fc.constantFrom("membership", "displayname", "join_rule", "allow", "creator", "type", "name", "}{"),
  fc.jsonValue(),
);
const event = fc
  .tuple(
    fc.dictionary(names, fc.jsonValue()),
    fc.constantFrom(...TYPES),
    content,
    fc.option(fc.dictionary(names, fc.jsonValue())),
  )
  .map(([members, type, inside, unsigned]): Members =>
    Object.assign({}, members, { type, content: inside }, unsigned === null ? {} : { unsigned }),
  );
/** The same JSON as different homeservers write it. */
const spacing = fc.constantFrom(0, 1, "\t");

const KEPT_CONTENT: Record<string, (version: number) => string[]> = {
  "m.room.member": () => ["membership"],
  "m.room.create": (version) =>
    version >= 11 ? ["creator", "type", "membership", "displayname", "join_rule", "allow", "name", "}{"] : ["creator"],
  "m.room.join_rules": (version) => (version >= 8 ? ["join_rule", "allow"] : ["join_rule"]),
};
const pick = (members: Members, kept: readonly string[]): Members =>
  Object.fromEntries(Object.entries(members).filter(([key]) => kept.includes(key)));

/** The algorithm on parsed JSON. */
function model(before: Members, version: number, because: unknown): Members {
  const kept = [...KEPT, ...(version < 11 ? OLDER : [])];
  const inside = KEPT_CONTENT[before["type"] as string]?.(version) ?? [];
  return {
    ...pick(before, kept),
    content: pick(before["content"] as Members, inside),
    unsigned: { redacted_because: because },
  };
}

describe("redaction of bytes", () => {
  test("[EVT-38] is that of the parsed event, however it is written", () => {
    fc.assert(
      fc.property(event, fc.constantFrom(...VERSIONS), spacing, (before, version, space) => {
        const bytes = encode(JSON.stringify(before, null, space));
        const after = parse(redactEvent(bytes, version, encode('{"event_id":"$r"}')));
        expect(after).toEqual(parse(encode(JSON.stringify(model(before, Number(version), { event_id: "$r" })))));
      }),
      { numRuns: 500 },
    );
  });

  test("[EVT-39] cutting echoes leaves everything else of the event as it was", () => {
    const unsigned = fc.dictionary(
      fc.constantFrom("prev_content", "m.relations", "replaces_state", "age"),
      fc.constantFrom<unknown>("$x", { a: ["$x"] }, { b: "$y" }, 7),
    );
    fc.assert(
      fc.property(event, unsigned, spacing, (before, repeated, space) => {
        const whole = { ...before, unsigned: repeated };
        const isSuccessor = repeated["replaces_state"] === "$x";
        const expected = Object.fromEntries(
          Object.entries(repeated).filter(([key, value]) => {
            if (key === "prev_content") return !isSuccessor;
            return key !== "m.relations" || !JSON.stringify(value).includes("$x");
          }),
        );
        const after = withoutEcho(encode(JSON.stringify(whole, null, space)), "$x");
        const isSame = Object.keys(expected).length === Object.keys(repeated).length;
        expect(parse(after)).toEqual(isSame ? null : parse(encode(JSON.stringify({ ...whole, unsigned: expected }))));
      }),
      { numRuns: 500 },
    );
  });

  test("[EVT-38] reads relations of anything", () => {
    fc.assert(
      fc.property(fc.jsonValue(), spacing, (relation, space) => {
        const bytes = encode(JSON.stringify({ content: { "m.relates_to": relation } }, null, space));
        const id: unknown = (relation as Members | null)?.["event_id"];
        expect(relatedEvent(bytes)).toBe(typeof id === "string" && id !== "" && !Array.isArray(relation) ? id : null);
      }),
    );
  });
});
