import type { ListWish, Wish } from "#test/support/simplified-connection.ts";
import type { Chapter, Stage, Step, Watcher } from "./chapter.ts";
import { ROOM_EXTENSIONS, STATE } from "./chapter.ts";
import type { Name, World } from "./world.ts";

/** The minimal standard generator: the same seed, the same history. */
class Dice {
  #state: number;

  constructor(seed: number) {
    this.#state = (seed % 2_147_483_646) + 1;
  }

  below(limit: number): number {
    this.#state = (this.#state * 48_271) % 2_147_483_647;
    return this.#state % limit;
  }

  of<T>(choices: readonly T[]): T {
    const choice = choices[this.below(choices.length)];
    if (choice === undefined) throw new Error("nothing to choose from");
    return choice;
  }

  chance(percent: number): boolean {
    return this.below(100) < percent;
  }
}

const NAMES: readonly Name[] = ["alice", "bob", "carol"];
const ROOMS = ["red", "green", "blue", "white", "black", "grey"];
const FILTERS = [
  {},
  { is_dm: true },
  { is_dm: false },
  { is_invite: true },
  { is_invite: false },
  { is_encrypted: false },
  { tags: ["m.favourite"] },
  { not_tags: ["m.favourite"] },
  { room_types: [null] },
];
const EXTRA_STATE: [string, string][] = [
  ["m.room.topic", ""],
  ["m.room.power_levels", ""],
  ["m.room.join_rules", ""],
  ["org.example.keyed", "*"],
  ["org.example.keyed", "a"],
];
/** Everybody may do everything: what is refused says nothing about sync. */
const OPEN = {
  preset: "public_chat",
  power_level_content_override: { state_default: 0, events_default: 0, users_default: 50 },
};

type Act = (world: World, dice: Dice, room: string, by: Name, other: Name) => Promise<unknown>;

/** Something that happens; what the homeserver refuses has not happened. */
const ACTS: readonly Act[] = [
  (world, _dice, room, by) => world.say(room, by, "something"),
  (world, dice, room, by) => world.sayMany(room, by, 1 + dice.below(7)),
  (world, _dice, room, by) => world.join(room, by),
  (world, _dice, room, by) => world.leave(room, by),
  (world, _dice, room, by, other) => world.invite(room, by, other),
  (world, _dice, room, by, other) => world.kick(room, by, other),
  (world, _dice, room, by, other) => world.ban(room, by, other),
  (world, _dice, room, by, other) => world.unban(room, by, other),
  (world, dice, room, by) => world.state(room, by, "m.room.name", { name: dice.of(["", "this", "that"]) }),
  (world, dice, room, by) => world.state(room, by, "m.room.topic", { topic: `topic ${dice.below(3)}` }),
  (world, dice, room, by) => world.state(room, by, "org.example.keyed", { n: dice.below(9) }, dice.of(["a", "b", "c"])),
  (world, dice, _room, by, other) =>
    world.accountData(by, "m.direct", {
      [world.id(other)]: world.roomNames.filter(() => dice.chance(30)).map((name) => world.room(name)),
    }),
  (world, dice, room, by) => world.tag(room, by, "m.favourite", dice.chance(60)),
  (world, dice, room, by) => world.roomData(room, by, "org.example.room", { n: dice.below(9) }),
  (world, dice, room, by) => world.typing(room, by, dice.chance(60)),
  async (world, dice, room, by, other) =>
    world.read(room, by, await world.say(room, other, "read me"), dice.of(["m.read", "m.read.private"])),
  async (world, _dice, room, by, other) => world.react(room, other, await world.say(room, by, "like me")),
  async (world, _dice, room, by) => world.redact(room, by, await world.say(room, by, "regretted")),
  (world, _dice, _room, by, other) => world.toDevice(by, other, "psst"),
];

/** The same config for all lists of a request: Synapse lets the config of one leak into another. */
function randomWish(dice: Dice, world: World): Wish {
  const config = {
    timeline_limit: dice.of([0, 1, 3, 3, 6, 12]),
    required_state: [...STATE, ...EXTRA_STATE.filter(() => dice.chance(30))],
  };
  const lists: Record<string, ListWish> = { all: { ...config, ranges: [[0, dice.of([0, 1, 2, 5, 20])]] } };
  if (dice.chance(50)) lists["some"] = { ...config, ranges: [[0, dice.below(4)]], filters: dice.of(FILTERS) };
  const subscribed = world.roomNames.filter(() => dice.chance(15)).map((name) => world.room(name));
  return {
    lists,
    room_subscriptions: Object.fromEntries(subscribed.map((roomId) => [roomId, config])),
    extensions: { ...ROOM_EXTENSIONS, to_device: { enabled: true } },
  };
}

/** A history of its own for every seed. */
export function randomChapter(seed: number, length: number): Chapter {
  const dice = new Dice(seed);
  const step = (index: number): Step => ({
    title: `step ${index} of seed ${seed}`,
    ...(index > 0 && dice.chance(6) ? { isRetry: true as const } : {}),
    ...(index > 0 && dice.chance(3) ? { isFresh: true as const } : {}),
    play: async ({ world, ...stage }: Stage) => {
      for (const name of ["alice", "bob"] satisfies Watcher[])
        if (dice.chance(20)) stage[name].wish = randomWish(dice, world);
      for (let count = dice.below(4); count > 0; count -= 1) {
        const by = dice.of(NAMES);
        const other = dice.of(NAMES.filter((name) => name !== by));
        await dice
          .of(ACTS)(world, dice, dice.of(world.roomNames), by, other)
          .catch(() => undefined);
      }
    },
  });
  return {
    title: `Random ${seed}`,
    setUp: async (world) => {
      for (const [index, room] of ROOMS.entries()) {
        await world.make(room, NAMES[index % 3] ?? "alice", {
          ...OPEN,
          ...(index % 2 === 0 ? {} : { name: undefined }),
        });
        // Glissade knows nothing of a room that none of its users ever was in.
        for (const name of NAMES) if (name !== NAMES[index % 3]) await world.join(room, name);
      }
    },
    wish: (world) => randomWish(new Dice(seed), world),
    steps: Array.from({ length }, (_, index) => step(index)),
  };
}
