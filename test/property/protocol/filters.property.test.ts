import { expect, test } from "bun:test";
import fc from "fast-check";
import { matchesFilters } from "#src/protocol/filters.ts";
import type { FiltersRequest } from "#src/protocol/request.ts";

const optional = <T>(arbitrary: fc.Arbitrary<T>): fc.Arbitrary<T | undefined> =>
  fc.option(arbitrary, { nil: undefined });
const names = fc.array(fc.constantFrom("a", "b", "c"), { maxLength: 3 });
const types = fc.array(fc.constantFrom("a", "b", null), { maxLength: 3 });

const filters = fc
  .record({
    is_dm: optional(fc.boolean()),
    is_encrypted: optional(fc.boolean()),
    is_invite: optional(fc.boolean()),
    is_tombstoned: optional(fc.boolean()),
    room_name_like: optional(fc.constantFrom("", "A", "b", "ab")),
    room_types: optional(types),
    not_room_types: optional(types),
    tags: optional(names),
    not_tags: optional(names),
    spaces: optional(names),
  })
  .map((all) => Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined)) as FiltersRequest);

const room = fc.record({
  isDm: fc.boolean(),
  isEncrypted: fc.boolean(),
  isInvite: fc.boolean(),
  isTombstoned: fc.boolean(),
  roomType: fc.constantFrom("a", "b", null),
  tags: names,
  name: fc.constantFrom("", "a", "Ab", "c"),
  parents: names,
});

test("[FLT-4] all filters hold at once, each by itself", () => {
  fc.assert(
    fc.property(filters, room, (wanted, facts) => {
      const rules: Record<keyof FiltersRequest, () => boolean> = {
        is_dm: () => wanted.is_dm === facts.isDm,
        is_encrypted: () => wanted.is_encrypted === facts.isEncrypted,
        is_invite: () => wanted.is_invite === facts.isInvite,
        is_tombstoned: () => wanted.is_tombstoned === facts.isTombstoned,
        room_name_like: () => facts.name.toUpperCase().includes((wanted.room_name_like ?? "").toUpperCase()),
        room_types: () => wanted.room_types?.length === 0 || new Set(wanted.room_types).has(facts.roomType),
        not_room_types: () => !new Set(wanted.not_room_types).has(facts.roomType),
        tags: () => wanted.tags?.length === 0 || new Set(wanted.tags).intersection(new Set(facts.tags)).size > 0,
        not_tags: () => new Set(wanted.not_tags).isDisjointFrom(new Set(facts.tags)),
        spaces: () => wanted.spaces?.length === 0 || !new Set(wanted.spaces).isDisjointFrom(new Set(facts.parents)),
      };
      const expected = (Object.keys(wanted) as (keyof FiltersRequest)[]).every((name) => rules[name]());
      const view = {
        ...facts,
        tags: new Set(facts.tags),
        name: () => facts.name,
        isChildOf: (spaceId: string) => new Set<string>(facts.parents).has(spaceId),
      };
      expect(matchesFilters(wanted, view)).toBe(expected);
    }),
    { numRuns: 3000 },
  );
});
