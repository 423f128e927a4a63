import { describe, expect, test } from "bun:test";
import type { Membership } from "#src/protocol/events.ts";
import type { Hero } from "#src/protocol/room-meta.ts";
import { inviteView, type NameSource, roomAvatar, roomName } from "#src/protocol/room-name.ts";

const ME = "@me:localhost";

function hero(localpart: string, displayName: string | null = null, membership: Membership = "join"): Hero {
  return { userId: `@${localpart}:localhost`, displayName, avatarUrl: null, membership };
}

const ALICE = hero("alice", "Alice");
const BOB = hero("bob", "Bob");
const CHARLIE = hero("charlie", "Charlie");

function room(joinedCount: number, heroes: Hero[], rest: Partial<NameSource> = {}): NameSource {
  return { name: null, alias: null, joinedCount, invitedCount: 0, heroes, ...rest };
}

describe("roomName", () => {
  const vectors: [string, NameSource, string][] = [
    ["more than the heroes", room(5, [ALICE, BOB], { invitedCount: 1 }), "Alice, Bob and 3 others"],
    ["all of three", room(4, [ALICE, BOB, CHARLIE]), "Alice, Bob and Charlie"],
    ["one other", room(2, [ALICE]), "Alice"],
    ["a nameless one", room(2, [ALICE, hero("bob")], { invitedCount: 1 }), "Alice and @bob:localhost"],
    [
      "three of one name",
      room(10, [hero("alice", "Alice"), hero("bob", "Alice"), hero("charlie", "Alice")]),
      "Alice (@alice:localhost), Alice (@bob:localhost), Alice (@charlie:localhost) and 6 others",
    ],
    [
      "one who takes another's user id for a name",
      room(3, [hero("evil", "@alice:localhost"), hero("alice")]),
      "@alice:localhost (@evil:localhost) and @alice:localhost (@alice:localhost)",
    ],
    [
      "the same with a name of their own",
      room(3, [hero("evil", "@alice:localhost"), ALICE]),
      "@alice:localhost (@evil:localhost) and Alice (@alice:localhost)",
    ],
    ["everybody gone", room(1, [ALICE, BOB]), "Empty Room (was Alice and Bob)"],
    [
      "everybody left",
      room(1, [hero("alice", "Alice", "leave"), hero("bob", "Bob", "ban")]),
      "Empty Room (was Alice and Bob)",
    ],
    ["the one other gone", room(1, [hero("alice", "Alice", "leave")]), "Empty Room (was Alice)"],
    ["nobody ever", room(1, []), "Empty Room"],
    ["the viewer is no hero", room(2, [{ ...ALICE, userId: ME, displayName: "Me" }, BOB]), "Bob"],
    ["those who left do not stand for those who are there", room(2, [hero("alice", "Alice", "leave"), BOB]), "Bob"],
    [
      "six where the viewer is none of them",
      room(
        7,
        "abcdef".split("").map((name) => hero(name, name)),
      ),
      "a, b, c, d, e and f",
    ],
    [
      "five of many",
      room(
        20,
        "abcdef".split("").map((name) => hero(name, name)),
      ),
      "a, b, c, d, e and 14 others",
    ],
    ["an empty display name", room(2, [hero("bob", "")]), "@bob:localhost"],
    // The reference writes " and 1 others" with nobody before it (5.4).
    ["others of whom nothing is known", room(1, [], { invitedCount: 1 }), "1 others"],
    ["name before alias", room(2, [ALICE], { name: "Name", alias: "#alias:hs" }), "Name"],
    ["alias before heroes", room(2, [ALICE], { alias: "#alias:hs" }), "#alias:hs"],
    ["empty name and alias", room(2, [ALICE], { name: "", alias: "" }), "Alice"],
  ];
  test.each(vectors)("[NAM-1] %s", (_, meta, expected) => {
    expect(roomName(meta, ME).name).toBe(expected);
  });

  test("[NAM-2] is calculated only when members made it", () => {
    expect(roomName(room(2, [ALICE]), ME).isCalculated).toBe(true);
    expect(roomName(room(2, [ALICE], { name: "x" }), ME).isCalculated).toBe(false);
    expect(roomName(room(2, [ALICE], { alias: "#x" }), ME).isCalculated).toBe(false);
    expect(roomName(room(1, []), ME).isCalculated).toBe(false);
  });

  test("[NAM-3] heroes are those of the name, without the viewer", () => {
    const named = roomName(room(3, [hero("me", "Me"), ALICE, hero("bob", "Bob", "leave"), CHARLIE]), ME);
    expect(named.heroes).toEqual([ALICE, CHARLIE]);
  });
});

describe("roomAvatar", () => {
  const pictured = (localpart: string, avatarUrl: string | null, membership: Membership = "join"): Hero => ({
    ...hero(localpart, null, membership),
    avatarUrl,
  });
  const me = pictured("me", "mxc://me");
  const vectors: [string, string | null, Hero[], boolean, string | null][] = [
    ["its own", "mxc://room", [me, pictured("bob", "mxc://bob")], true, "mxc://room"],
    ["the other one's in a direct room", null, [me, pictured("bob", "mxc://bob")], true, "mxc://bob"],
    ["an invited one's too", null, [me, pictured("bob", "mxc://bob", "invite")], true, "mxc://bob"],
    ["none when the other has none", null, [me, pictured("bob", null)], true, null],
    ["an empty one is none", "", [me, pictured("bob", "")], true, null],
    ["none in a room of two that is not direct", null, [me, pictured("bob", "mxc://bob")], false, null],
    [
      "none in a direct room of three",
      null,
      [me, pictured("bob", "mxc://bob"), pictured("eve", "mxc://eve")],
      true,
      null,
    ],
    ["none when the other left", null, [me, pictured("bob", "mxc://bob", "leave")], true, null],
    ["never the viewer's", null, [me], true, null],
  ];
  test.each(vectors)("[NAM-4] %s", (_, avatar, heroes, isDm, expected) => {
    expect(roomAvatar({ avatar, heroes }, ME, isDm)).toBe(expected);
  });
});

describe("inviteView", () => {
  const state = (type: string, content: object, stateKey = "", sender = "@bob:localhost") => ({
    type,
    state_key: stateKey,
    sender,
    content,
  });
  const bob = state(
    "m.room.member",
    { membership: "join", displayname: "Bob", avatar_url: "mxc://bob" },
    "@bob:localhost",
  );
  const own = {
    ...state("m.room.member", { membership: "invite", is_direct: true, displayname: "Me" }, ME),
    origin_server_ts: 1234,
  };

  test("[INV-1] is made of stripped state alone", () => {
    const view = inviteView(
      [
        state("m.room.create", { type: "m.space" }),
        state("m.room.name", { name: "Room" }),
        state("m.room.avatar", { url: "mxc://room" }),
        state("m.room.canonical_alias", { alias: "#room:hs" }),
        state("m.room.encryption", { algorithm: "m.megolm.v1.aes-sha2" }),
        bob,
        own,
      ],
      ME,
    );
    expect(view).toEqual({
      name: "Room",
      isNameCalculated: false,
      heroes: [{ userId: "@bob:localhost", displayName: "Bob", avatarUrl: "mxc://bob", membership: "join" }],
      alias: "#room:hs",
      isEncrypted: true,
      lacksAlgorithm: false,
      roomType: "m.space",
      joinedCount: 1,
      invitedCount: 1,
      own: { sender: "@bob:localhost", ts: 1234, isDirect: true },
      givenName: "Room",
      givenAvatar: "mxc://room",
      isKnown: true,
    });
  });

  test("[INV-2] a nameless direct invite is named and pictured by its inviter", () => {
    const heroes = [{ userId: "@bob:localhost", displayName: "Bob", avatarUrl: "mxc://bob", membership: "join" }];
    expect(inviteView([bob, own], ME)).toMatchObject({ name: "Bob", isNameCalculated: true, heroes });
    const group = { ...own, content: { membership: "invite" } };
    expect(inviteView([bob, group], ME)).toMatchObject({ name: "Bob", givenAvatar: null, own: { isDirect: false } });
  });

  test("[INV-3] only members who speak for themselves are heroes", () => {
    const third = state(
      "m.room.member",
      { membership: "join", displayname: "Carol" },
      "@carol:localhost",
      "@bob:localhost",
    );
    expect(inviteView([third, bob, own], ME).heroes.map(({ userId }) => userId)).toEqual(["@bob:localhost"]);
  });

  test("[INV-4] without the inviter's member event the invite's sender stands in", () => {
    expect(inviteView([own], ME)).toMatchObject({ name: "@bob:localhost", isNameCalculated: true, givenAvatar: null });
  });

  test("[INV-5] no own member event, no timestamp", () => {
    expect(inviteView([bob], ME).own).toBeNull();
    const { origin_server_ts: _, ...undated } = own;
    expect(inviteView([undated], ME).own).toEqual({ sender: "@bob:localhost", ts: 0, isDirect: true });
  });

  test("[INV-6] nonsense is passed over", () => {
    const nonsense = [
      null,
      7,
      "x",
      [],
      {},
      { type: "m.room.name" },
      state("m.room.name", { name: 7 }),
      state("m.room.name", { name: "of another key" }, "k"),
      { ...own, origin_server_ts: "soon", content: null },
      { ...bob, content: { membership: "guru", displayname: {}, avatar_url: 1 } },
    ];
    expect(inviteView(nonsense, ME)).toMatchObject({
      name: "@bob:localhost",
      heroes: [{ userId: "@bob:localhost", displayName: null, avatarUrl: null, membership: "join" }],
      own: { sender: "@bob:localhost", ts: 0, isDirect: false },
    });
    expect(inviteView([], ME)).toMatchObject({
      name: "1 others",
      heroes: [],
      own: null,
      isEncrypted: false,
      roomType: null,
    });
  });
});
