import type { GlissadeProcess } from "#test/support/glissade-process.ts";
import type { ListWish, RoomWish, Wish } from "#test/support/simplified-connection.ts";
import type { Synapse, SynapseUser } from "#test/support/synapse.ts";
import { type Conversation, DifferentialRig, type Findings } from "./rig.ts";
import { World } from "./world.ts";

/** What the steps of a chapter work with. */
export interface Stage {
  world: World;
  /** What each of the two watchers asks for; a step may change it. */
  alice: Conversation;
  bob: Conversation;
  /** The devices of a watcher, one for each server that is asked. */
  devices: (name: Watcher) => SynapseUser[];
  /** Event ids that a later step needs. */
  noted: Map<string, string>;
}

export type Watcher = "alice" | "bob";

/** Something happens, or is asked for, or both; then everybody asks. */
export interface Step {
  title: string;
  play?: (stage: Stage) => unknown;
  /** The last request again, from where it started, with the wish of now. */
  isRetry?: true;
  /** Only alice asks, and is ready to wait this long. */
  waitMs?: number;
  /** What happens while she waits. */
  during?: (stage: Stage) => unknown;
  /** Begins anew without a position. */
  isFresh?: true;
}

/** A history with its own accounts, rooms and connections. */
export interface Chapter {
  title: string;
  setUp(world: World): Promise<void>;
  wish(world: World): Wish;
  steps: readonly Step[];
}

export const STATE: RoomWish["required_state"] = [
  ["m.room.create", ""],
  ["m.room.name", ""],
  ["m.room.topic", ""],
  ["m.room.avatar", ""],
  ["m.room.encryption", ""],
  ["m.room.tombstone", ""],
  ["m.room.member", "$LAZY"],
  ["m.room.member", "$ME"],
];

/** A list of all rooms, with a window. */
export const list = (end: number, more: Partial<ListWish> = {}): ListWish => ({
  ranges: [[0, end]],
  timeline_limit: 5,
  required_state: STATE,
  ...more,
});

export const ROOM_EXTENSIONS = {
  account_data: { enabled: true },
  receipts: { enabled: true },
  typing: { enabled: true },
};

/** What a chapter came to: its differences, each with the step it belongs to. */
export interface ChapterFindings {
  control: string[];
  subject: string[];
  /** How often each deviation explained a difference. */
  explained: Map<string, number>;
  steps: number;
}

/** Plays a chapter on accounts of its own. */
export async function playChapter(
  chapter: Chapter,
  synapse: Synapse,
  glissade: GlissadeProcess | null,
): Promise<ChapterFindings> {
  const world = await World.create(synapse, chapter.title.toLowerCase().replaceAll(/[^a-z0-9]+/g, "-"));
  const rig = await DifferentialRig.create(world, ["alice", "bob"], glissade);
  world.settle = () => rig.settle();
  await rig.settle();
  await chapter.setUp(world);
  const open = (name: Watcher, number: number): Conversation =>
    rig.open(name, `chapter-${number}`, structuredClone(chapter.wish(world)));
  const stage: Stage = {
    world,
    alice: open("alice", 0),
    bob: open("bob", 0),
    devices: (name) => rig.devicesOf(name),
    noted: new Map(),
  };
  const found: ChapterFindings = { control: [], subject: [], explained: new Map(), steps: 0 };
  for (const [index, step] of chapter.steps.entries()) {
    if (step.isFresh)
      for (const name of ["alice", "bob"] as const) stage[name] = renewed(open, name, index, stage[name]);
    if (step.waitMs !== undefined) {
      // What is still on its way must not end a wait.
      await rig.settle();
      note(found, `before ${index}`, await stage.alice.compare());
    }
    world.log.beginStep();
    await step.play?.(stage);
    const { during, waitMs } = step;
    const asking = {
      ...(step.isRetry === undefined ? {} : { isRetry: step.isRetry }),
      ...(waitMs === undefined ? {} : { waitMs }),
      ...(during === undefined ? {} : { during: () => during(stage) }),
    };
    if (waitMs === undefined) await rig.settle();
    for (const name of waitMs === undefined ? (["alice", "bob"] as const) : (["alice"] as const))
      note(found, `${index}. ${step.title}`, await stage[name].compare(asking));
    found.steps += 1;
  }
  return found;
}

function renewed(
  open: (name: Watcher, number: number) => Conversation,
  name: Watcher,
  number: number,
  old: Conversation,
): Conversation {
  const conversation = open(name, number);
  conversation.wish = old.wish;
  return conversation;
}

function note(found: ChapterFindings, title: string, { control, subject, explained }: Findings): void {
  for (const difference of control) found.control.push(`${title}\n  ${difference}`);
  for (const difference of subject) found.subject.push(`${title}\n  ${difference}`);
  for (const name of explained) found.explained.set(name, (found.explained.get(name) ?? 0) + 1);
}
