import type { Chapter } from "./chapter.ts";
import { list, ROOM_EXTENSIONS } from "./chapter.ts";

/** Every change of one's own membership. */
export const MEMBERSHIPS: Chapter = {
  title: "Memberships",
  setUp: async (world) => {
    await world.make("base", "bob");
    await world.join("base", "alice");
    for (const room of ["invites", "retracted", "rejected", "leaves", "kicks", "bans", "forgets", "unseen", "unheard"])
      await world.make(room, "bob");
    for (const room of ["kicks", "bans", "forgets", "leaves", "unseen", "retracted"]) await world.join(room, "alice");
    await world.make("knocks", "bob", {
      room_version: "10",
      initial_state: [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } }],
    });
    await world.make("denied", "bob", {
      initial_state: [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } }],
    });
    await world.make("late", "bob", { power_level_content_override: { invite: 0 } });
    await world.join("late", "carol");
    await world.invite("late", "bob", "alice");
    await world.make("dm", "bob", { preset: "trusted_private_chat", is_direct: true });
    for (const room of ["invites", "leaves"]) await world.say(room, "bob", `said in ${room}`);
  },
  wish: () => ({
    lists: { all: list(29), invites: list(19, { filters: { is_invite: true } }) },
    room_subscriptions: {},
    extensions: ROOM_EXTENSIONS,
  }),
  steps: [
    { title: "the first request, with an invite" },
    { title: "an invite", play: ({ world }) => world.invite("invites", "bob", "alice") },
    {
      title: "a message in the room of an invite",
      play: ({ world }) => world.say("invites", "bob", "not to be heard"),
    },
    {
      title: "a new name in the room of an invite",
      play: ({ world }) => world.state("invites", "bob", "m.room.name", { name: "renamed" }),
    },
    { title: "somebody else invites to a room as well", play: ({ world }) => world.invite("late", "carol", "alice") },
    { title: "the invite is accepted", play: ({ world }) => world.join("invites", "alice") },
    { title: "an invite", play: ({ world }) => world.invite("rejected", "bob", "alice") },
    { title: "the invite is rejected", play: ({ world }) => world.leave("rejected", "alice") },
    { title: "after it", play: ({ world }) => world.say("rejected", "bob", "nobody hears") },
    { title: "a leave, to be invited again", play: ({ world }) => world.leave("retracted", "alice") },
    { title: "after it", play: ({ world }) => world.say("retracted", "bob", "alice is gone") },
    { title: "an invite", play: ({ world }) => world.invite("retracted", "bob", "alice") },
    { title: "the invite is retracted", play: ({ world }) => world.kick("retracted", "bob", "alice") },
    { title: "after it", play: ({ world }) => world.say("retracted", "bob", "nobody hears") },
    { title: "a knock", play: ({ world }) => world.knock("knocks", "alice") },
    { title: "the knock is answered", play: ({ world }) => world.invite("knocks", "bob", "alice") },
    { title: "and accepted", play: ({ world }) => world.join("knocks", "alice") },
    { title: "a knock", play: ({ world }) => world.knock("denied", "alice") },
    { title: "the knock is withdrawn", play: ({ world }) => world.leave("denied", "alice") },
    { title: "a knock", play: ({ world }) => world.knock("denied", "alice") },
    { title: "the knock is denied", play: ({ world }) => world.kick("denied", "bob", "alice") },
    { title: "a leave", play: ({ world }) => world.leave("leaves", "alice") },
    { title: "after it", play: ({ world }) => world.say("leaves", "bob", "alice is gone") },
    { title: "back again", play: ({ world }) => world.join("leaves", "alice") },
    {
      title: "left and back in one",
      play: async ({ world }) => {
        await world.leave("leaves", "alice");
        await world.say("leaves", "bob", "in between");
        await world.join("leaves", "alice");
      },
    },
    { title: "a kick", play: ({ world }) => world.kick("kicks", "bob", "alice") },
    { title: "after it", play: ({ world }) => world.say("kicks", "bob", "alice was kicked") },
    { title: "an invite after a kick", play: ({ world }) => world.invite("kicks", "bob", "alice") },
    { title: "and a join", play: ({ world }) => world.join("kicks", "alice") },
    { title: "a ban", play: ({ world }) => world.ban("bans", "bob", "alice") },
    { title: "after it", play: ({ world }) => world.say("bans", "bob", "alice was banned") },
    { title: "the ban is lifted", play: ({ world }) => world.unban("bans", "bob", "alice") },
    { title: "and back", play: ({ world }) => world.join("bans", "alice") },
    { title: "a ban of somebody who never was there", play: ({ world }) => world.ban("unheard", "bob", "alice") },
    { title: "left, to be forgotten", play: ({ world }) => world.leave("forgets", "alice") },
    // Synapse fails at times where both are news at once.
    { title: "and forgotten", play: ({ world }) => world.forget("forgets", "alice") },
    { title: "back after forgetting", play: ({ world }) => world.join("forgets", "alice") },
    { title: "kicked once more", play: ({ world }) => world.kick("forgets", "bob", "alice") },
    {
      title: "a room of one's own",
      play: async ({ world }) => {
        await world.make("own", "alice", { name: "mine" });
      },
    },
    { title: "an invite to a direct chat", play: ({ world }) => world.invite("dm", "bob", "alice") },
    {
      title: "which is one",
      play: ({ world }) => world.accountData("alice", "m.direct", { [world.id("bob")]: [world.room("dm")] }),
    },
    { title: "and is joined", play: ({ world }) => world.join("dm", "alice") },
    { title: "somebody else comes", play: ({ world }) => world.join("base", "carol") },
    { title: "somebody else goes", play: ({ world }) => world.leave("base", "carol") },
    { title: "somebody else is invited", play: ({ world }) => world.invite("base", "bob", "carol") },
    {
      title: "a change of profile",
      play: ({ world }) => world.rename("bob", "Robert"),
    },
    {
      title: "one's own change of profile",
      play: ({ world }) => world.rename("alice", "Alicia"),
    },
    {
      title: "a narrow window",
      play: ({ alice }) => {
        alice.wish.lists = { all: list(0) };
      },
    },
    {
      title: "a leave out of view",
      play: async ({ world }) => {
        await world.say("base", "bob", "on top");
        await world.leave("unseen", "alice");
      },
    },
    { title: "after it" },
    {
      title: "an ignored user's invite",
      play: async ({ world }) => {
        await world.accountData("alice", "m.ignored_user_list", { ignored_users: { [world.id("carol")]: {} } });
        await world.make("ignored", "carol");
        await world.invite("ignored", "carol", "alice");
      },
    },
    {
      title: "a new connection",
      isFresh: true,
      play: ({ alice }) => {
        alice.wish.lists = {
          all: list(19),
          invites: list(19, { filters: { is_invite: true } }),
          rest: list(19, { filters: { is_invite: false } }),
        };
      },
    },
  ],
};

/** What is said about rooms besides what is said in them. */
export const METADATA: Chapter = {
  title: "Metadata",
  setUp: async (world) => {
    await world.make("named", "bob");
    await world.make("unnamed", "bob", { name: undefined });
    await world.make("empty", "alice", { name: undefined, preset: "private_chat" });
    for (const room of ["named", "unnamed"]) await world.join(room, "alice");
    await world.make("left", "alice", { name: undefined });
    for (const name of ["bob", "carol"] as const) await world.join("left", name);
  },
  wish: () => ({ lists: { all: list(19) }, room_subscriptions: {}, extensions: ROOM_EXTENSIONS }),
  steps: [
    { title: "the first request" },
    { title: "a third member", play: ({ world }) => world.join("unnamed", "carol") },
    { title: "a name", play: ({ world }) => world.state("unnamed", "bob", "m.room.name", { name: "now named" }) },
    { title: "a name is emptied", play: ({ world }) => world.state("unnamed", "bob", "m.room.name", { name: "" }) },
    { title: "a name again", play: ({ world }) => world.state("named", "bob", "m.room.name", { name: "again" }) },
    {
      title: "the same name once more, with a message",
      play: async ({ world }) => {
        await world.state("named", "bob", "m.room.name", { name: "once more" });
        await world.say("named", "alice", "fine");
      },
    },
    {
      title: "an avatar",
      play: ({ world }) => world.state("named", "bob", "m.room.avatar", { url: "mxc://localhost/one" }),
    },
    { title: "no avatar", play: ({ world }) => world.state("named", "bob", "m.room.avatar", {}) },
    { title: "a topic", play: ({ world }) => world.state("named", "bob", "m.room.topic", { topic: "of the day" }) },
    { title: "somebody leaves", play: ({ world }) => world.leave("unnamed", "carol") },
    { title: "somebody is invited", play: ({ world }) => world.invite("unnamed", "bob", "carol") },
    { title: "somebody has a new name", play: ({ world }) => world.rename("bob", "Bobby") },
    {
      title: "somebody is invited to a room of nobody else",
      play: ({ world }) => world.invite("empty", "alice", "carol"),
    },
    {
      title: "and comes, and goes",
      play: async ({ world }) => {
        await world.join("empty", "carol");
        await world.leave("empty", "carol");
      },
    },
    { title: "one of two is banned", play: ({ world }) => world.ban("left", "alice", "bob") },
    { title: "and the other one leaves", play: ({ world }) => world.leave("left", "carol") },
    {
      title: "a direct chat",
      play: ({ world }) => world.accountData("alice", "m.direct", { [world.id("carol")]: [world.room("empty")] }),
    },
    { title: "a message in it", play: ({ world }) => world.say("empty", "alice", "hello") },
    { title: "no direct chat", play: ({ world }) => world.accountData("alice", "m.direct", {}) },
    { title: "another message in it", play: ({ world }) => world.say("empty", "alice", "hello") },
    {
      title: "a reaction does not bump",
      play: async ({ world, noted }) => {
        noted.set("said", await world.say("named", "bob", "like me"));
        await world.say("unnamed", "bob", "later");
        await world.react("named", "alice", noted.get("said") ?? "");
      },
    },
    {
      title: "a poll, a sticker, a call",
      play: async ({ world }) => {
        await world.send("named", "bob", "m.sticker", { body: "s", url: "mxc://localhost/s", info: {} });
        await world.send("empty", "alice", "m.call.invite", { call_id: "c", version: 1, lifetime: 1, offer: {} });
      },
    },
    {
      title: "other events",
      play: ({ world }) => world.send("named", "bob", "org.example.other", { a: [1, 2.0, "x"], é: null }),
    },
    { title: "other state", play: ({ world }) => world.state("named", "bob", "org.example.state", { n: 1 }, "key") },
    {
      title: "a tombstone",
      play: ({ world }) =>
        world.state("named", "bob", "m.room.tombstone", { body: "moved", replacement_room: world.room("unnamed") }),
    },
    { title: "a new connection", isFresh: true },
  ],
};
