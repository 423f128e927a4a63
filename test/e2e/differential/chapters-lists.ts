import type { Chapter } from "./chapter.ts";
import { list, ROOM_EXTENSIONS, STATE } from "./chapter.ts";

const ROOMS = ["one", "two", "three", "four", "five", "six", "seven", "eight"];

/** Windows, filters, subscriptions, and asking again. */
export const LISTS: Chapter = {
  title: "Lists",
  setUp: async (world) => {
    for (const room of ROOMS) {
      await world.make(room, "bob");
      await world.join(room, "alice");
      await world.say(room, "bob", `first in ${room}`);
    }
    await world.make("space", "bob", { creation_content: { type: "m.space" } });
    await world.join("space", "alice");
    await world.make("alone", "bob");
  },
  wish: () => ({ lists: { all: list(2) }, room_subscriptions: {}, extensions: ROOM_EXTENSIONS }),
  steps: [
    { title: "the first request" },
    { title: "nothing new" },
    { title: "the window grows", play: ({ alice }) => (alice.wish.lists["all"] = list(4)) },
    { title: "the window holds everything", play: ({ alice }) => (alice.wish.lists["all"] = list(19)) },
    { title: "the window shrinks", play: ({ alice }) => (alice.wish.lists["all"] = list(1)) },
    { title: "a message out of view", play: ({ world }) => world.say("two", "bob", "up") },
    { title: "a message in view", play: ({ world }) => world.say("two", "alice", "here") },
    {
      title: "two messages in two rooms",
      play: async ({ world }) => {
        await world.say("three", "bob", "a");
        await world.say("five", "alice", "b");
      },
    },
    { title: "a room comes back into view", play: ({ world }) => world.say("one", "bob", "again") },
    {
      title: "a list of direct chats",
      play: ({ alice }) => (alice.wish.lists["dms"] = list(2, { filters: { is_dm: true } })),
    },
    {
      title: "a room becomes a direct chat",
      play: ({ world }) => world.accountData("alice", "m.direct", { [world.id("bob")]: [world.room("six")] }),
    },
    {
      title: "a list of all but direct chats",
      play: ({ alice }) => (alice.wish.lists["rest"] = list(2, { filters: { is_dm: false } })),
    },
    { title: "it is no direct chat any more", play: ({ world }) => world.accountData("alice", "m.direct", {}) },
    {
      title: "favourites, and what is none",
      play: ({ alice }) => {
        alice.wish.lists["dms"] = list(2, { filters: { tags: ["m.favourite"] } });
        alice.wish.lists["rest"] = list(2, { filters: { not_tags: ["m.favourite", "m.lowpriority"] } });
      },
    },
    { title: "a room becomes a favourite", play: ({ world }) => world.tag("seven", "alice", "m.favourite") },
    { title: "and no favourite again", play: ({ world }) => world.tag("seven", "alice", "m.favourite", false) },
    {
      title: "encrypted rooms, and others",
      play: ({ alice }) => {
        alice.wish.lists["dms"] = list(2, { filters: { is_encrypted: true } });
        alice.wish.lists["rest"] = list(2, { filters: { is_encrypted: false } });
      },
    },
    {
      title: "a room is encrypted",
      play: ({ world }) => world.state("four", "bob", "m.room.encryption", { algorithm: "m.megolm.v1.aes-sha2" }),
    },
    {
      title: "spaces, and rooms",
      play: ({ alice }) => {
        alice.wish.lists["dms"] = list(2, { filters: { room_types: ["m.space"] } });
        alice.wish.lists["rest"] = list(2, { filters: { not_room_types: ["m.space"] } });
      },
    },
    {
      title: "untyped rooms, and filters that hold nothing",
      play: ({ alice }) => {
        alice.wish.lists["dms"] = list(2, { filters: { room_types: [null] } });
        alice.wish.lists["rest"] = list(2, { filters: { room_types: [], tags: [] } });
      },
    },
    { title: "one list fewer", play: ({ alice }) => delete alice.wish.lists["rest"] },
    {
      title: "several ranges",
      play: ({ alice }) => {
        alice.wish.extensions = {};
        alice.wish.lists["all"] = list(0, {
          ranges: [
            [0, 1],
            [4, 5],
          ],
        });
      },
    },
    { title: "a message in the second range", play: ({ world }) => world.say("one", "alice", "second") },
    { title: "a list that is only counted", play: ({ alice }) => (alice.wish.lists["dms"] = list(0, { ranges: [] })) },
    {
      title: "a range beyond the end",
      play: ({ alice }) => {
        alice.wish.extensions = ROOM_EXTENSIONS;
        alice.wish.lists = { all: list(0, { ranges: [[7, 50]] }) };
      },
    },
    {
      title: "a subscription out of view",
      play: ({ alice, world }) => {
        alice.wish.lists = { all: list(1) };
        alice.wish.room_subscriptions[world.room("eight")] = { timeline_limit: 3, required_state: STATE };
      },
    },
    { title: "a message in the subscribed room", play: ({ world }) => world.say("eight", "bob", "to subscribers") },
    {
      title: "the subscription asks for more",
      play: ({ alice, world }) => {
        alice.wish.room_subscriptions[world.room("eight")] = {
          timeline_limit: 10,
          required_state: [...STATE, ["m.room.power_levels", ""]],
        };
      },
    },
    {
      title: "subscriptions to rooms one cannot see",
      play: ({ alice, world }) => {
        for (const room of [world.room("alone"), "!nothing:localhost"])
          alice.wish.room_subscriptions[room] = { timeline_limit: 3, required_state: STATE };
      },
    },
    { title: "no subscription any more", play: ({ alice }) => (alice.wish.room_subscriptions = {}) },
    {
      title: "a message while unsubscribed",
      play: async ({ world }) => {
        await world.say("eight", "bob", "missed");
        await world.say("one", "bob", "x");
        await world.say("two", "bob", "y");
      },
    },
    {
      title: "subscribed again",
      play: ({ alice, world }) => {
        alice.wish.room_subscriptions = { [world.room("eight")]: { timeline_limit: 10, required_state: STATE } };
      },
    },
    { title: "the last request again", isRetry: true },
    {
      title: "the same again with a larger window",
      isRetry: true,
      play: ({ alice }) => (alice.wish.lists["all"] = list(5)),
    },
    { title: "and on", play: ({ world }) => world.say("three", "bob", "and on") },
    { title: "a new connection", isFresh: true },
    {
      title: "no lists, no subscriptions",
      play: ({ alice }) => {
        alice.wish.lists = {};
        alice.wish.room_subscriptions = {};
      },
    },
  ],
};
