import { describe, expect, test } from "bun:test";
import { RoomLinks } from "#actors/user/room-links.ts";
import { roomMeta } from "#test/support/stored-samples.ts";

describe("RoomLinks", () => {
  const space = (spaceChildren: string[]) => roomMeta(1, { roomType: "m.space", spaceChildren });

  test("[LIST-54] names the children that came or went, whatever brought it about", () => {
    const links = new RoomLinks();
    expect(links.note(space(["!a", "!b"]))).toEqual(["!a", "!b"]);
    expect(links.note(space(["!b", "!a"]))).toEqual([]);
    expect([...links.note(space(["!b", "!c"]))].sort()).toEqual(["!a", "!c"]);
    expect(links.note(space([]))).toEqual(["!b", "!c"]);
    expect(links.note(space([]))).toEqual([]);
  });

  test("[LIST-55] compares the children of a space once for all users that have seen the same of it", () => {
    const users = Array.from({ length: 3 }, () => new RoomLinks());
    const [before, after] = [space(["!a", "!b"]), space(["!b", "!c"])];
    for (const links of users) links.note(before);
    const [first, ...others] = users.map((links) => links.note(after));
    for (const other of others) expect(other).toBe(first as readonly string[]);
    const late = new RoomLinks();
    late.note(space(["!b"]));
    expect(late.note(after)).toEqual(["!c"]);
  });

  test("[LIST-56] remembers every room that another one took the place of", () => {
    const links = new RoomLinks();
    links.note(roomMeta(2, { successor: "!new" }));
    links.note(roomMeta(3, { successor: "!new" }));
    links.note(roomMeta(4));
    expect([...links.replacedBy("!new")].map(Number)).toEqual([2, 3]);
    expect([...links.replacedBy("!other")]).toEqual([]);
  });
});
