import type { Chapter, Stage } from "./chapter.ts";
import { list, ROOM_EXTENSIONS } from "./chapter.ts";

const GLOBAL_EXTENSIONS = { to_device: { enabled: true }, e2ee: { enabled: true } };

const ask =
  (extensions: Record<string, Record<string, unknown>>) =>
  ({ alice }: Stage): void => {
    alice.wish.extensions = extensions;
  };

/** One-time keys of one device: made up, and signed by nobody, as Synapse does not look. */
const keys = (from: number, count: number): Record<string, unknown> => ({
  one_time_keys: Object.fromEntries(
    Array.from({ length: count }, (_, index) => [
      `signed_curve25519:K${from + index}`,
      { key: `key${from + index}`, signatures: {} },
    ]),
  ),
});

const deviceKeys = (userId: string, deviceId: string, curve: string): Record<string, unknown> => ({
  device_keys: {
    user_id: userId,
    device_id: deviceId,
    algorithms: ["m.megolm.v1.aes-sha2"],
    keys: { [`curve25519:${deviceId}`]: curve, [`ed25519:${deviceId}`]: `ed-${curve}` },
    signatures: { [userId]: { [`ed25519:${deviceId}`]: "signed" } },
  },
});

/** Everything that comes beside rooms. */
export const EXTENSIONS: Chapter = {
  title: "Extensions",
  setUp: async (world) => {
    for (const room of ["one", "two", "three"]) {
      await world.make(room, "bob");
      await world.join(room, "alice");
      await world.say(room, "bob", `in ${room}`);
    }
    await world.join("one", "carol");
    await world.make("invited", "bob");
    await world.invite("invited", "bob", "alice");
    await world.accountData("alice", "org.example.first", { before: true });
    await world.roomData("one", "alice", "org.example.room", { before: true });
    await world.tag("two", "alice", "m.favourite");
    await world.read("one", "bob", await world.say("one", "carol", "read by bob"));
    await world.read("one", "alice", await world.say("one", "carol", "read by alice"));
    await world.toDevice("bob", "alice", "before");
  },
  wish: () => ({
    lists: { all: list(9), top: list(0) },
    room_subscriptions: {},
    extensions: { ...ROOM_EXTENSIONS, ...GLOBAL_EXTENSIONS },
  }),
  steps: [
    { title: "the first request" },
    { title: "nothing new" },
    { title: "account data", play: ({ world }) => world.accountData("alice", "org.example.first", { n: 1 }) },
    { title: "account data is emptied", play: ({ world }) => world.accountData("alice", "org.example.first", {}) },
    {
      title: "a push rule",
      play: ({ world }) =>
        world
          .user("alice")
          .call("PUT", `/pushrules/global/room/${encodeURIComponent(world.room("one"))}`, { actions: [] }),
    },
    { title: "room account data", play: ({ world }) => world.roomData("one", "alice", "org.example.room", { n: 1 }) },
    { title: "a tag", play: ({ world }) => world.tag("one", "alice", "m.lowpriority") },
    { title: "no tag", play: ({ world }) => world.tag("one", "alice", "m.lowpriority", false) },
    {
      title: "what was read up to",
      play: async ({ world, noted }) => {
        noted.set("said", await world.say("one", "bob", "mark me"));
        await world.in("one", "alice", "POST", "read_markers", {
          "m.fully_read": noted.get("said"),
          "m.read": noted.get("said"),
        });
      },
    },
    { title: "a receipt", play: ({ world, noted }) => world.read("one", "carol", noted.get("said") ?? "") },
    {
      title: "a private receipt",
      play: async ({ world }) => {
        const eventId = await world.say("one", "bob", "read in private");
        await world.read("one", "alice", eventId, "m.read.private");
      },
    },
    {
      title: "somebody else's private receipt",
      play: async ({ world, noted }) => {
        noted.set("later", await world.say("one", "alice", "read by bob in private"));
        await world.read("one", "bob", noted.get("later") ?? "", "m.read.private");
      },
    },
    {
      title: "a receipt in a thread",
      play: async ({ world }) => {
        const root = await world.say("one", "bob", "root");
        const reply = await world.send("one", "bob", "m.room.message", {
          msgtype: "m.text",
          body: "r",
          "m.relates_to": { rel_type: "m.thread", event_id: root },
        });
        await world.read("one", "carol", reply, "m.read", root);
        await world.read("one", "alice", root, "m.read", "main");
      },
    },
    {
      title: "a receipt for an old event",
      play: async ({ world, noted }) => {
        noted.set("old", await world.say("two", "alice", "old"));
        await world.sayMany("two", "alice", 7);
      },
    },
    { title: "which comes", play: ({ world, noted }) => world.read("two", "bob", noted.get("old") ?? "") },
    { title: "somebody types", play: ({ world }) => world.typing("one", "bob", true) },
    { title: "two type", play: ({ world }) => world.typing("one", "carol", true) },
    { title: "one goes on", play: ({ world }) => world.typing("one", "bob", false) },
    { title: "none does", play: ({ world }) => world.typing("one", "carol", false) },
    { title: "one types oneself", play: ({ world }) => world.typing("two", "alice", true) },
    { title: "and stops", play: ({ world }) => world.typing("two", "alice", false) },
    { title: "a message to a device", play: ({ world }) => world.toDevice("bob", "alice", "hello") },
    {
      title: "several, to both",
      play: async ({ world }) => {
        for (const text of ["a", "b", "c"]) await world.toDevice("carol", "alice", text);
        await world.toDevice("alice", "bob", "d");
      },
    },
    { title: "the same request again", isRetry: true },
    {
      title: "more than the limit",
      play: async (stage) => {
        for (const text of ["e", "f", "g"]) await stage.world.toDevice("carol", "alice", text);
        ask({ ...ROOM_EXTENSIONS, e2ee: { enabled: true }, to_device: { enabled: true, limit: 2 } })(stage);
      },
    },
    { title: "the rest" },
    {
      title: "one-time keys",
      play: async ({ devices }) => {
        for (const device of devices("alice")) await device.call("POST", "/keys/upload", keys(0, 3));
      },
    },
    {
      title: "somebody has a new device",
      play: async ({ world }) => {
        const device = await world.user("bob").logIn();
        await device.call("POST", "/keys/upload", deviceKeys(device.userId, device.deviceId, "bobs"));
      },
    },
    {
      title: "oneself has one",
      play: async ({ world }) => {
        const device = await world.user("alice").logIn();
        await device.call("POST", "/keys/upload", deviceKeys(device.userId, device.deviceId, "alices"));
      },
    },
    { title: "somebody is no longer shared a room with", play: ({ world }) => world.leave("one", "carol") },
    { title: "and is again", play: ({ world }) => world.join("one", "carol") },
    { title: "none of them", play: ask({}) },
    { title: "account data alone", play: ask({ account_data: { enabled: true } }) },
    {
      title: "which changes",
      play: async ({ world }) => {
        await world.accountData("alice", "org.example.first", { n: 2 });
        await world.roomData("three", "alice", "org.example.room", { n: 2 });
      },
    },
    {
      title: "no list in scope",
      play: ask({
        account_data: { enabled: true, lists: [], rooms: [] },
        typing: { enabled: true, lists: [], rooms: [] },
      }),
    },
    {
      title: "out of scope",
      play: async ({ world }) => {
        await world.roomData("three", "alice", "org.example.room", { n: 3 });
        await world.typing("three", "bob", true);
      },
    },
    {
      title: "a named list in scope",
      play: ask({
        account_data: { enabled: true, lists: ["all"], rooms: [] },
        typing: { enabled: true, lists: ["top", "unknown"], rooms: [] },
      }),
    },
    {
      title: "a room in scope",
      play: (stage) => {
        const rooms = [stage.world.room("two")];
        ask({
          account_data: { enabled: true, lists: [], rooms },
          receipts: { enabled: true, lists: [], rooms },
          typing: { enabled: true, lists: [], rooms },
        })(stage);
      },
    },
    {
      title: "something in it",
      play: async ({ world }) => {
        await world.roomData("two", "alice", "org.example.room", { n: 4 });
        await world.typing("two", "bob", true);
        await world.read("two", "bob", await world.say("two", "alice", "seen"));
      },
    },
    {
      title: "a room is left, and has other account data",
      play: async ({ world }) => {
        await world.leave("three", "alice");
        await world.settle();
        await world.roomData("three", "alice", "org.example.room", { outside: true });
      },
    },
    { title: "and back in it", play: ({ world }) => world.join("three", "alice") },
    {
      title: "rooms out of view",
      play: async (stage) => {
        ask(ROOM_EXTENSIONS)(stage);
        stage.alice.wish.lists = { all: list(0) };
        await stage.world.say("three", "bob", "on top");
      },
    },
    {
      title: "their account data and receipts",
      play: async ({ world, noted }) => {
        await world.roomData("two", "alice", "org.example.room", { n: 5 });
        await world.read("one", "carol", noted.get("later") ?? "");
      },
    },
    { title: "and in view again", play: ({ alice }) => (alice.wish.lists = { all: list(9) }) },
    {
      title: "a new connection, with global ones alone",
      isFresh: true,
      play: ({ alice }) => {
        alice.wish.lists = {};
        alice.wish.extensions = { ...GLOBAL_EXTENSIONS, ...ROOM_EXTENSIONS };
      },
    },
    {
      title: "a device change on it",
      play: async ({ world }) => {
        const device = await world.user("bob").logIn();
        await device.call("POST", "/keys/upload", deviceKeys(device.userId, device.deviceId, "again"));
      },
    },
    {
      title: "a new connection with everything",
      isFresh: true,
      play: ({ alice }) => (alice.wish.lists = { all: list(9) }),
    },
  ],
};
