import { describe, expect, test } from "bun:test";
import { matchesFilters, type FilterView } from "#src/protocol/filters.ts";
import type { FiltersRequest } from "#src/protocol/request.ts";

const ROOM: FilterView = {
  isDm: true,
  isEncrypted: false,
  isInvite: false,
  isTombstoned: false,
  roomType: null,
  tags: new Set(["m.favourite", "u.work"]),
  name: () => "Ünited Rooms",
  isChildOf: (spaceId) => spaceId === "!space",
};
const SPACE: FilterView = { ...ROOM, roomType: "m.space", isDm: false };

describe("matchesFilters", () => {
  const vectors: [FiltersRequest, boolean][] = [
    [{}, true],
    [{ is_dm: true }, true],
    [{ is_dm: false }, false],
    [{ is_encrypted: false }, true],
    [{ is_encrypted: true }, false],
    [{ is_invite: true }, false],
    [{ is_invite: false }, true],
    [{ is_tombstoned: true }, false],
    [{ is_tombstoned: false }, true],
    [{ room_name_like: "ROOM" }, true],
    [{ room_name_like: "ünited r" }, true],
    [{ room_name_like: "" }, true],
    [{ room_name_like: "zoom" }, false],
    [{ tags: ["m.favourite"] }, true],
    [{ tags: ["nope", "u.work"] }, true],
    [{ tags: ["nope"] }, false],
    [{ tags: [] }, true],
    [{ not_tags: ["nope"] }, true],
    [{ not_tags: ["nope", "u.work"] }, false],
    [{ not_tags: [] }, true],
    [{ tags: ["u.work"], not_tags: ["m.favourite"] }, false],
    [{ room_types: [null] }, true],
    [{ room_types: ["m.space"] }, false],
    [{ room_types: ["m.space", null] }, true],
    [{ room_types: [] }, true],
    [{ not_room_types: [null] }, false],
    [{ not_room_types: ["m.space"] }, true],
    [{ not_room_types: [] }, true],
    [{ room_types: [null], not_room_types: [null] }, false],
    [{ spaces: ["!space"] }, true],
    [{ spaces: ["!other", "!space"] }, true],
    [{ spaces: ["!other"] }, false],
    [{ spaces: [] }, true],
    // The reference ignores spaces beside room_types (12.2): both hold.
    [{ room_types: [null], spaces: ["!other"] }, false],
    [{ room_types: [null], spaces: ["!space"] }, true],
    [{ is_dm: true, is_encrypted: true }, false],
  ];
  test.each(vectors)("[FLT-1] %j: %p", (filters, expected) => {
    expect(matchesFilters(filters, ROOM)).toBe(expected);
  });

  test("[FLT-2] typed rooms", () => {
    expect(matchesFilters({ room_types: ["m.space"] }, SPACE)).toBe(true);
    expect(matchesFilters({ room_types: [null] }, SPACE)).toBe(false);
    expect(matchesFilters({ not_room_types: ["m.space"] }, SPACE)).toBe(false);
    expect(matchesFilters({ not_room_types: [null] }, SPACE)).toBe(true);
  });

  test("[FLT-3] a name is only made when it decides", () => {
    const view: FilterView = {
      ...ROOM,
      name: () => {
        throw new Error("asked for the name");
      },
    };
    expect(matchesFilters({ is_dm: true, spaces: ["!space"] }, view)).toBe(true);
    expect(matchesFilters({ is_dm: false, room_name_like: "x" }, view)).toBe(false);
    expect(() => matchesFilters({ room_name_like: "x" }, view)).toThrow("asked for the name");
  });
});
