import type { Chapter, Step } from "./chapter.ts";
import { list, ROOM_EXTENSIONS, STATE } from "./chapter.ts";

/** Long enough for something to happen meanwhile, on the busiest machine: only what happens ends it. */
const WAIT_MS = 20_000;
/** For what is answered at once, or not at all: no answer that is there takes so long. */
const SHORT_MS = 1500;

const asked = (title: string, play: NonNullable<Step["play"]>): Step => ({ title, play, waitMs: SHORT_MS });
const during = (title: string, happens: NonNullable<Step["during"]>): Step => ({
  title,
  during: happens,
  waitMs: WAIT_MS,
});
const withNothing = (title: string, happens: NonNullable<Step["during"]>): Step => ({
  title,
  during: happens,
  waitMs: SHORT_MS,
});

/** Which requests are answered at once, and what ends a wait. */
export const WAITING: Chapter = {
  title: "Waiting",
  setUp: async (world) => {
    for (const room of ["one", "two", "three", "four"]) {
      await world.make(room, "bob");
      await world.join(room, "alice");
      await world.say(room, "bob", `in ${room}`);
    }
    await world.make("elsewhere", "bob");
  },
  wish: () => ({
    lists: { all: list(1) },
    room_subscriptions: {},
    extensions: { receipts: { enabled: true }, typing: { enabled: true }, to_device: { enabled: true } },
  }),
  steps: [
    { title: "the first request" },
    asked("nothing new", () => undefined),
    asked("a larger window", ({ alice }) => (alice.wish.lists["all"] = list(2))),
    asked("a smaller window", ({ alice }) => (alice.wish.lists["all"] = list(1))),
    asked("a larger limit", ({ alice }) => (alice.wish.lists["all"] = list(1, { timeline_limit: 9 }))),
    asked("a smaller limit", ({ alice }) => (alice.wish.lists["all"] = list(1))),
    asked("more state", ({ alice }) => {
      alice.wish.lists["all"] = list(1, { required_state: [...STATE, ["m.room.power_levels", ""]] });
    }),
    asked("more state that is not there", ({ alice }) => {
      alice.wish.lists["all"] = list(1, { required_state: [...STATE, ["org.example.none", ""]] });
    }),
    asked("less state", ({ alice }) => (alice.wish.lists["all"] = list(1))),
    asked("a subscription", ({ alice, world }) => {
      alice.wish.room_subscriptions = { [world.room("one")]: { timeline_limit: 5, required_state: STATE } };
    }),
    asked("none", ({ alice }) => (alice.wish.room_subscriptions = {})),
    asked("a filter that removes rooms", ({ alice }) => {
      alice.wish.lists["all"] = list(1, { filters: { is_dm: true } });
    }),
    asked("no filter", ({ alice }) => (alice.wish.lists["all"] = list(1))),
    during("a message in view", ({ world }) => world.say("four", "bob", "now")),
    during("a message out of view", ({ world }) => world.say("one", "bob", "now")),
    withNothing("a message in a room of others", ({ world }) => world.say("elsewhere", "bob", "now")),
    during("typing in view", ({ world }) => world.typing("one", "bob", true)),
    withNothing("typing out of view", ({ world }) => world.typing("three", "bob", true)),
    {
      title: "nobody types",
      play: async ({ world }) => {
        await world.typing("one", "bob", false);
        await world.typing("three", "bob", false);
      },
    },
    during("a receipt in view", async ({ world }) => {
      const page = await world.in<{ chunk: { event_id: string }[] }>("one", "bob", "GET", "messages?dir=b&limit=1");
      await world.read("one", "bob", page.chunk[0]?.event_id ?? "");
    }),
    during("a message to the device", ({ world }) => world.toDevice("bob", "alice", "now")),
    withNothing("account data that is not asked for", ({ world }) =>
      world.accountData("alice", "org.example", { n: 1 }),
    ),
    during("an invite", ({ world }) => world.invite("elsewhere", "bob", "alice")),
    during("somebody joins", ({ world }) => world.join("one", "carol")),
    during("one leaves", ({ world }) => world.leave("four", "alice")),
    { title: "with account data", play: ({ alice }) => (alice.wish.extensions = ROOM_EXTENSIONS) },
    { title: "once more" },
    during("account data", ({ world }) => world.accountData("alice", "org.example", { n: 2 })),
    during("a tag", ({ world }) => world.tag("one", "alice", "m.favourite")),
    { title: "no timelines", play: ({ alice }) => (alice.wish.lists["all"] = list(1, { timeline_limit: 0 })) },
    { title: "once more" },
    withNothing("a message without timelines", ({ world }) => world.say("one", "bob", "now")),
    { title: "all of it" },
  ],
};
