import type { Chapter, Stage } from "./chapter.ts";
import { list } from "./chapter.ts";
import type { Name, World } from "./world.ts";

const STICKY = "org.matrix.msc4354.sticky_events";
const THREADS = "io.element.msc4308.thread_subscriptions";

async function stick(world: World, room: string, by: Name, key: string): Promise<unknown> {
  const path = `/rooms/${encodeURIComponent(world.room(room))}/send/org.example.sticky/${key}`;
  const query = "?org.matrix.msc4354.sticky_duration_ms=600000";
  return world.user(by).call("PUT", path + query, { msc4354_sticky_key: key });
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
    { title: "a sticky event", play: ({ world }) => stick(world, "two", "bob", "a") },
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
  ],
};
