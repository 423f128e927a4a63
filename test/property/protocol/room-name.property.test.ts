import { expect, test } from "bun:test";
import fc from "fast-check";
import { MEMBERSHIPS } from "#src/protocol/events.ts";
import type { Hero } from "#src/protocol/room-meta.ts";
import { inviteView, roomAvatar, roomName } from "#src/protocol/room-name.ts";

const ME = "@me:hs";

const hero: fc.Arbitrary<Hero> = fc.record({
  userId: fc.constantFrom(ME, "@a:hs", "@b:hs", "@c:hs", "@d:hs", "@e:hs", "@f:hs"),
  displayName: fc.constantFrom(null, "", "Ann", "Bob", "@a:hs", "@b:hs"),
  avatarUrl: fc.constantFrom(null, "", "mxc://x"),
  membership: fc.constantFrom(...MEMBERSHIPS),
});
const meta = fc.record({
  name: fc.constantFrom(null, "", "Name"),
  alias: fc.constantFrom(null, "#alias:hs"),
  avatar: fc.constantFrom(null, "mxc://room"),
  joinedCount: fc.nat(9),
  invitedCount: fc.nat(3),
  heroes: fc
    .uniqueArray(hero, { maxLength: 6, selector: ({ userId }) => userId })
    .map((heroes) =>
      heroes.map((item) => (item.userId === ME ? { ...item, displayName: "MYSELF", avatarUrl: "mxc://me" } : item)),
    ),
});

test("[NAM-5] the viewer is never part of the name, the heroes or the avatar, and is not needed for them", () => {
  fc.assert(
    fc.property(meta, fc.boolean(), (room, isDm) => {
      const named = roomName(room, ME);
      expect(named.name).not.toContain(ME);
      expect(named.name).not.toContain("MYSELF");
      expect(named.name).not.toBe("");
      expect(named.heroes.some(({ userId }) => userId === ME)).toBe(false);
      expect(roomAvatar(room, ME, isDm)).not.toBe("mxc://me");
      const without = { ...room, heroes: room.heroes.filter(({ userId }) => userId !== ME) };
      expect(roomName(without, ME)).toEqual(named);
      expect(roomAvatar(without, ME, isDm)).toBe(roomAvatar(room, ME, isDm));
    }),
    { numRuns: 2000 },
  );
});

test("[NAM-6] in a calculated name nobody can be taken for somebody else", () => {
  fc.assert(
    fc.property(meta, (room) => {
      const { name, isCalculated, heroes } = roomName({ ...room, name: null, alias: null, invitedCount: 0 }, ME);
      if (!isCalculated || room.joinedCount - 1 < heroes.length) return;
      const labels = name.replace(/ and \d+ others$/, "").split(/, | and /);
      expect(new Set(labels).size).toBe(labels.length);
      expect(labels.length).toBe(room.joinedCount - 1 === heroes.length ? heroes.length : Math.min(5, heroes.length));
      for (const label of labels) {
        const owner = heroes.find(({ userId }) => userId === label);
        if (owner !== undefined)
          expect(owner.displayName === null || owner.displayName === "" || owner.displayName === owner.userId).toBe(
            true,
          );
      }
    }),
    { numRuns: 2000 },
  );
});

test("[INV-7] any stripped state gives a view, without the viewer in its name", () => {
  const event = fc.record(
    {
      type: fc.constantFrom("m.room.member", "m.room.name", "m.room.avatar", "m.room.create", "x"),
      state_key: fc.constantFrom("", ME, "@a:hs", "@b:hs"),
      sender: fc.constantFrom(ME, "@a:hs", "@b:hs"),
      origin_server_ts: fc.oneof(fc.double(), fc.string()),
      content: fc.oneof(
        fc.record({
          membership: fc.constantFrom("join", "invite", 7),
          displayname: fc.constantFrom("Ann", "", null, 3),
        }),
        fc.jsonValue(),
      ),
    },
    { requiredKeys: [] },
  );
  fc.assert(
    fc.property(fc.array(fc.oneof({ weight: 9, arbitrary: event }, fc.jsonValue()), { maxLength: 8 }), (stripped) => {
      const view = inviteView(stripped, ME);
      expect(view.isNameCalculated && view.name.includes(ME)).toBe(false);
      expect(view.name).not.toBe("");
      if (view.own !== null) expect(Number.isSafeInteger(view.own.ts) && view.own.ts >= 0).toBe(true);
      expect(view.heroes.every(({ userId }) => userId !== ME)).toBe(true);
    }),
  );
});
