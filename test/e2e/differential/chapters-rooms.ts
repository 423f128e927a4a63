import type { Chapter, Stage } from "./chapter.ts";
import { list, ROOM_EXTENSIONS, STATE } from "./chapter.ts";

const limit = (timeline_limit: number, end = 9) => ({ all: list(end, { timeline_limit }) });

/** Timelines: gaps, growth, redactions, relations, and who may see what. */
export const TIMELINES: Chapter = {
  title: "Timelines",
  setUp: async (world) => {
    for (const room of ["talk", "quiet", "other"]) {
      await world.make(room, "bob");
      await world.join(room, "alice");
    }
    await world.sayMany("talk", "bob", 12);
    await world.make("secretive", "bob", {
      initial_state: [{ type: "m.room.history_visibility", state_key: "", content: { history_visibility: "joined" } }],
    });
    await world.say("secretive", "bob", "before alice");
    await world.join("secretive", "alice");
    await world.say("secretive", "bob", "with alice");
    await world.make("shared", "bob");
    await world.say("shared", "bob", "before alice");
  },
  wish: () => ({ lists: limit(3), room_subscriptions: {}, extensions: ROOM_EXTENSIONS }),
  steps: [
    { title: "the first request" },
    { title: "as many messages as fit", play: ({ world }) => world.sayMany("talk", "bob", 3) },
    { title: "more messages than fit", play: ({ world }) => world.sayMany("talk", "bob", 5) },
    { title: "a larger limit", play: ({ alice }) => (alice.wish.lists = limit(8)) },
    { title: "a larger limit than there are events", play: ({ alice }) => (alice.wish.lists = limit(40)) },
    { title: "a smaller limit", play: ({ alice }) => (alice.wish.lists = limit(2)) },
    { title: "a message under it", play: ({ world }) => world.say("talk", "alice", "one") },
    { title: "the larger limit again", play: ({ alice }) => (alice.wish.lists = limit(8)) },
    {
      title: "a small limit and a gap",
      play: async ({ alice, world }) => {
        alice.wish.lists = limit(2);
        await world.sayMany("talk", "bob", 4);
      },
    },
    { title: "the larger limit after the gap", play: ({ alice }) => (alice.wish.lists = limit(8)) },
    { title: "no timeline", play: ({ alice }) => (alice.wish.lists = limit(0)) },
    { title: "a message that is not asked for", play: ({ world }) => world.say("talk", "bob", "unasked") },
    { title: "state that is", play: ({ world }) => world.state("talk", "bob", "m.room.topic", { topic: "asked" }) },
    { title: "a timeline again", play: ({ alice }) => (alice.wish.lists = limit(3)) },
    { title: "and more of it", play: ({ alice }) => (alice.wish.lists = limit(6)) },
    {
      title: "out of view",
      play: async ({ alice, world }) => {
        alice.wish.lists = limit(3, 0);
        await world.say("other", "bob", "on top");
      },
    },
    {
      title: "much while out of view",
      play: async ({ world }) => {
        await world.sayMany("talk", "bob", 6);
        await world.say("quiet", "bob", "one");
        await world.say("other", "bob", "on top");
      },
    },
    { title: "in view again", play: ({ alice }) => (alice.wish.lists = limit(3)) },
    {
      title: "out of view, and more than that",
      play: async ({ alice, world }) => {
        await world.say("quiet", "bob", "before");
        await world.say("other", "bob", "on top");
        alice.wish.lists = limit(3, 0);
      },
    },
    { title: "back by a message of its own", play: ({ world }) => world.say("quiet", "bob", "after") },
    { title: "everything in view", play: ({ alice }) => (alice.wish.lists = limit(5)) },
    {
      title: "a message, which is redacted",
      play: async ({ world }) => {
        await world.redact("talk", "bob", await world.say("talk", "bob", "regretted"));
      },
    },
    {
      title: "an older message is redacted",
      play: async ({ world, noted }) => {
        noted.set("old", await world.say("talk", "bob", "to be regretted"));
        await world.say("talk", "bob", "more");
      },
    },
    { title: "later", play: ({ world, noted }) => world.redact("talk", "bob", noted.get("old") ?? "") },
    {
      title: "an edit",
      play: async ({ world }) => {
        const eventId = await world.say("talk", "bob", "teh");
        await world.send("talk", "bob", "m.room.message", {
          msgtype: "m.text",
          body: "* the",
          "m.new_content": { msgtype: "m.text", body: "the" },
          "m.relates_to": { rel_type: "m.replace", event_id: eventId },
        });
      },
    },
    {
      title: "a thread",
      play: async ({ world }) => {
        const root = await world.say("talk", "bob", "root");
        for (const body of ["a", "b"])
          await world.send("talk", "alice", "m.room.message", {
            msgtype: "m.text",
            body,
            "m.relates_to": { rel_type: "m.thread", event_id: root },
          });
      },
    },
    { title: "a join where history is shared", play: ({ world }) => world.join("shared", "alice") },
    {
      title: "somebody ignored speaks",
      play: async ({ world }) => {
        await world.join("talk", "carol");
        await world.accountData("alice", "m.ignored_user_list", { ignored_users: { [world.id("carol")]: {} } });
        await world.say("talk", "carol", "not to alice");
      },
    },
    {
      title: "between others",
      play: async ({ world }) => {
        await world.say("talk", "bob", "heard");
        await world.say("talk", "carol", "not heard");
        await world.say("talk", "alice", "heard too");
      },
    },
    {
      title: "somebody ignored changes state",
      play: async ({ world }) => {
        await world.state("talk", "bob", "m.room.power_levels", {
          users: { [world.id("carol")]: 50 },
          state_default: 50,
        });
        await world.state("talk", "carol", "m.room.topic", { topic: "carol's" });
      },
    },
    {
      title: "not ignored any more",
      play: ({ world }) => world.accountData("alice", "m.ignored_user_list", { ignored_users: {} }),
    },
    { title: "and heard", play: ({ world }) => world.say("talk", "carol", "hello") },
    { title: "the same request again", isRetry: true },
    { title: "again, with a larger limit", isRetry: true, play: ({ alice }) => (alice.wish.lists = limit(10)) },
    { title: "again, with news", isRetry: true, play: ({ world }) => world.say("talk", "bob", "news") },
    { title: "and on", play: ({ world }) => world.say("talk", "bob", "and on") },
    { title: "a new connection", isFresh: true },
  ],
};

const wanted = (...required_state: [string, string][]) => ({ all: list(9, { required_state }) });

const ask =
  (...required_state: [string, string][]) =>
  ({ alice, bob }: Stage): void => {
    alice.wish.lists = wanted(...required_state);
    bob.wish.lists = wanted(...required_state);
  };

/** What state is asked for, and how that grows. */
export const REQUIRED_STATE: Chapter = {
  title: "Required state",
  setUp: async (world) => {
    for (const room of ["one", "two"]) {
      await world.make(room, "bob", { topic: `about ${room}` });
      await world.join(room, "alice");
      await world.state(room, "bob", "org.example.keyed", { n: 1 }, "a");
      await world.state(room, "bob", "org.example.keyed", { n: 2 }, "b");
    }
    await world.join("one", "carol");
    await world.sayMany("one", "carol", 6);
    await world.sayMany("one", "bob", 2);
  },
  wish: () => ({ lists: wanted(["m.room.name", ""]), room_subscriptions: {}, extensions: {} }),
  steps: [
    { title: "a name" },
    { title: "a topic as well", play: ask(["m.room.name", ""], ["m.room.topic", ""]) },
    {
      title: "something that is not there",
      play: ask(["m.room.name", ""], ["m.room.topic", ""], ["m.room.avatar", ""]),
    },
    {
      title: "which comes",
      play: ({ world }) => world.state("one", "bob", "m.room.avatar", { url: "mxc://localhost/a" }),
    },
    { title: "one key of a type", play: ask(["m.room.name", ""], ["org.example.keyed", "a"]) },
    { title: "all keys of a type", play: ask(["m.room.name", ""], ["org.example.keyed", "*"]) },
    { title: "a new key of it", play: ({ world }) => world.state("one", "bob", "org.example.keyed", { n: 3 }, "c") },
    { title: "oneself", play: ask(["m.room.name", ""], ["m.room.member", "$ME"]) },
    { title: "lazily", play: ask(["m.room.name", ""], ["m.room.member", "$ME"], ["m.room.member", "$LAZY"]) },
    { title: "somebody speaks", play: ({ world }) => world.say("one", "carol", "hi") },
    { title: "and again", play: ({ world }) => world.say("one", "carol", "hi") },
    { title: "somebody changes", play: ({ world }) => world.rename("carol", "Caroline") },
    { title: "and speaks", play: ({ world }) => world.say("one", "carol", "it is me") },
    { title: "a gap", play: ({ world }) => world.sayMany("one", "bob", 9) },
    {
      title: "somebody who left in a gap speaks again",
      play: async ({ world }) => {
        await world.leave("one", "carol");
        await world.sayMany("one", "bob", 8);
        await world.join("one", "carol");
        await world.say("one", "carol", "back");
      },
    },
    {
      title: "named members",
      play: ({ alice, bob, world }) => {
        for (const one of [alice, bob])
          one.wish.lists = wanted(["m.room.member", world.id("bob")], ["m.room.member", world.id("carol")]);
      },
    },
    { title: "all members", play: ask(["m.room.member", "*"]) },
    { title: "a member goes", play: ({ world }) => world.leave("one", "carol") },
    { title: "everything of a key", play: ask(["m.room.name", ""], ["m.room.create", ""], ["m.room.topic", ""]) },
    { title: "everything", play: ask(["*", "*"]) },
    { title: "a change of anything", play: ({ world }) => world.state("two", "bob", "org.example.more", { n: 3 }) },
    { title: "a little", play: ask(["m.room.name", ""]) },
    {
      title: "a little, and a change of it",
      play: ({ world }) => world.state("two", "bob", "m.room.name", { name: "two!" }),
    },
    {
      title: "a change of what is not asked for",
      play: ({ world }) => world.state("two", "bob", "m.room.topic", { topic: "unasked" }),
    },
    { title: "it is asked for", play: ask(["m.room.name", ""], ["m.room.topic", ""]) },
    { title: "and not", play: ask(["m.room.name", ""]) },
    { title: "and again, unchanged", play: ask(["m.room.name", ""], ["m.room.topic", ""]) },
    {
      title: "and not, while it changes",
      play: async (stage) => {
        ask(["m.room.name", ""])(stage);
        await stage.world.state("two", "bob", "m.room.topic", { topic: "changed" });
      },
    },
    { title: "and again, changed", play: ask(["m.room.name", ""], ["m.room.topic", ""]) },
    {
      title: "the same again with more",
      isRetry: true,
      play: ask(["m.room.name", ""], ["m.room.topic", ""], ["m.room.join_rules", ""]),
    },
    { title: "nothing", play: ask() },
    { title: "a message", play: ({ world }) => world.say("two", "alice", "anything") },
    {
      title: "a subscription that adds to the list",
      play: ({ alice, world }) => {
        alice.wish.lists = wanted(["m.room.name", ""]);
        alice.wish.room_subscriptions = { [world.room("two")]: { timeline_limit: 5, required_state: STATE } };
      },
    },
    {
      title: "two lists that add to each other",
      play: ({ alice }) => {
        alice.wish.room_subscriptions = {};
        alice.wish.lists = {
          ...wanted(["m.room.name", ""]),
          more: list(9, {
            filters: { is_dm: false },
            required_state: [
              ["m.room.topic", ""],
              ["m.room.power_levels", ""],
            ],
          }),
        };
      },
    },
    {
      title: "left and back, with less asked for",
      play: async (stage) => {
        ask(["m.room.name", ""])(stage);
        await stage.world.leave("two", "alice");
        await stage.world.join("two", "alice");
      },
    },
    { title: "and more again", play: ask(["m.room.name", ""], ["m.room.topic", ""]) },
    { title: "a new connection", isFresh: true },
  ],
};
