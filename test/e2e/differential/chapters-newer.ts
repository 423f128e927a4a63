import type { Chapter, Stage } from "./chapter.ts";
import { list } from "./chapter.ts";
import type { Name, World } from "./world.ts";

const STICKY = "org.matrix.msc4354.sticky_events";
const THREADS = "io.element.msc4308.thread_subscriptions";

/** Sends a sticky event; its id. */
async function stick(world: World, room: string, by: Name, key: string, durationMs = 600_000): Promise<string> {
  const path = `/rooms/${encodeURIComponent(world.room(room))}/send/org.example.sticky/${key}`;
  const query = `?org.matrix.msc4354.sticky_duration_ms=${durationMs}`;
  const sent = await world.user(by).call("PUT", path + query, { msc4354_sticky_key: key });
  return (sent as { event_id: string }).event_id;
}

async function subscribe({ world }: Stage, room: string, root: string, isOn: boolean): Promise<unknown> {
  const path = `/rooms/${encodeURIComponent(world.room(room))}/thread/${encodeURIComponent(root)}/subscription`;
  return world.user("alice").call(isOn ? "PUT" : "DELETE", path, isOn ? {} : undefined, "unstable/io.element.msc4306");
}

/** Extensions that are behind a switch of the homeserver. */
export const NEWER: Chapter = {
  title: "Newer extensions",
  setUp: async (world) => {
    for (const room of ["one", "two", "three"]) {
      await world.make(room, "bob");
      await world.join(room, "alice");
    }
    await stick(world, "one", "bob", "before");
    await world.sayMany("one", "bob", 6);
  },
  wish: () => ({
    lists: { all: list(1) },
    room_subscriptions: {},
    extensions: { [STICKY]: { enabled: true }, [THREADS]: { enabled: true, limit: 2 } },
  }),
  steps: [
    { title: "the first request" },
    {
      title: "a sticky event",
      play: async ({ world, noted }) => void noted.set("sticky", await stick(world, "two", "bob", "a")),
    },
    {
      title: "and more than fit",
      play: async ({ world }) => {
        await stick(world, "two", "bob", "b");
        await world.sayMany("two", "bob", 7);
      },
    },
    {
      title: "out of view",
      play: async ({ world }) => {
        await stick(world, "three", "bob", "c");
        await world.say("one", "bob", "x");
        await world.say("two", "bob", "y");
      },
    },
    { title: "the same again", isRetry: true },
    {
      title: "of one's own, and of somebody who comes",
      play: async ({ world }) => {
        await stick(world, "one", "alice", "d");
        await world.join("one", "carol");
        await stick(world, "one", "carol", "e");
      },
    },
    {
      title: "few at a time",
      play: async (stage) => {
        for (const key of ["f", "g", "h", "i", "j"]) await stick(stage.world, "two", "bob", key);
        await stage.world.sayMany("two", "bob", 7);
        for (const name of ["alice", "bob"] as const) stage[name].wish.extensions[STICKY] = { enabled: true, limit: 2 };
      },
    },
    { title: "the next ones" },
    { title: "the last one" },
    { title: "no more" },
    {
      title: "one that is redacted",
      play: async (stage) => {
        for (const name of ["alice", "bob"] as const) stage[name].wish.extensions[STICKY] = { enabled: true };
        await stage.world.redact("two", "bob", stage.noted.get("sticky") ?? "");
      },
    },
    {
      title: "of somebody who is ignored",
      play: async ({ world }) => {
        await world.accountData("alice", "m.ignored_user_list", { ignored_users: { [world.id("carol")]: {} } });
        await stick(world, "one", "carol", "k");
        await world.sayMany("one", "bob", 6);
      },
    },
    {
      title: "a room that is new, with some in it",
      play: async ({ world }) => {
        await world.make("four", "bob", { preset: "public_chat" });
        await stick(world, "four", "bob", "l");
        await world.sayMany("four", "bob", 7);
        await world.join("four", "alice");
      },
    },
    {
      title: "an invite to a room with some",
      play: async ({ world }) => {
        await world.make("five", "bob");
        await stick(world, "five", "bob", "m");
        await world.invite("five", "bob", "alice");
      },
    },
    {
      title: "and a room that is left",
      play: async ({ world }) => {
        await world.leave("two", "alice");
        await stick(world, "two", "bob", "n");
      },
    },
    {
      title: "a thread",
      play: async (stage) => {
        stage.noted.set("root", await stage.world.say("one", "bob", "root"));
        await stage.world.send("one", "bob", "m.room.message", {
          msgtype: "m.text",
          body: "r",
          "m.relates_to": { rel_type: "m.thread", event_id: stage.noted.get("root") },
        });
      },
    },
    { title: "which one follows", play: (stage) => subscribe(stage, "one", stage.noted.get("root") ?? "", true) },
    { title: "and does not", play: (stage) => subscribe(stage, "one", stage.noted.get("root") ?? "", false) },
    { title: "a new connection", isFresh: true },
    {
      title: "a room that comes into view",
      play: (stage) => {
        for (const name of ["alice", "bob"] as const) stage[name].wish.lists["all"] = list(9);
      },
    },
    {
      title: "one that waits",
      waitMs: 10_000,
      during: ({ world }) => stick(world, "three", "bob", "o"),
    },
  ],
};
