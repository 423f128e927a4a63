import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { EventFields } from "#src/protocol/events.ts";
import type { UserId } from "#src/protocol/ids.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { SyncRig } from "#test/support/sync-rig.ts";

const ROOM = "!r";
const LIST = { ranges: [[0, 9]], timeline_limit: 50, required_state: [["*", "*"]] };

type Act =
  | { kind: "say" | "name" | "look" | "follow" | "restart" }
  | { kind: "redact"; index: number }
  | { kind: "redact-next" };

const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constantFrom("say" as const, "name" as const) }) },
  { weight: 3, arbitrary: fc.record({ kind: fc.constant("redact" as const), index: fc.nat(20) }) },
  {
    weight: 1,
    arbitrary: fc.record({ kind: fc.constantFrom("look" as const, "follow" as const, "restart" as const) }),
  },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant("redact-next" as const) }) },
);
/** Things that happen in one poll, which both users get, one after the other. */
const polls = fc.array(fc.record({ acts: fc.array(act, { minLength: 1, maxLength: 4 }), aliceFirst: fc.boolean() }), {
  maxLength: 10,
});

/** A room as it is said to be: what of it was redacted, and what it is called. */
class Model {
  readonly redacted = new Set<string>();
  /** Name events in order. */
  readonly names: { id: string; name: string }[] = [];

  get name(): string {
    const current = this.names.at(-1);
    return current === undefined || this.redacted.has(current.id) ? "b" : current.name;
  }

  isWhole(event: WireEvent): boolean {
    return Object.keys(event["content"] as object).length > 0;
  }
}

async function check(steps: readonly { acts: readonly Act[]; aliceFirst: boolean }[]): Promise<void> {
  const rig = await SyncRig.start();
  const alice = await rig.addUser("alice");
  const bob = await rig.addUser("bob");
  const model = new Model();
  const events: EventFields[] = [];
  let count = 0;
  let pos: string | null = null;
  const redaction = (target: string): EventFields => {
    const event = rig.event("m.room.redaction", bob, { redacts: target, reason: "said" });
    model.redacted.add(target);
    return { ...event, redacts: target };
  };
  const make = (step: Act, timeline: EventFields[]): void => {
    count += 1;
    const id = `$made${count}`;
    if (step.kind === "say") timeline.push(rig.event("m.room.message", bob, { body: `${count}` }, { id }));
    if (step.kind === "name") {
      model.names.push({ id, name: `name ${count}` });
      timeline.push(rig.event("m.room.name", bob, { name: `name ${count}` }, { id, stateKey: "" }));
    }
    if (step.kind === "redact-next") {
      const early = rig.event("m.room.message", bob, { body: "early" }, { id });
      timeline.push(redaction(id), early);
    }
    const target = step.kind === "redact" ? [...events, ...timeline].at(-1 - step.index) : undefined;
    if (target !== undefined && target.type !== "m.room.redaction") timeline.push(redaction(target.id));
  };
  const compare = async (): Promise<void> => {
    const response = await rig.sync(alice, { lists: { all: LIST }, conn_id: `look${count}` });
    const room = response.rooms[ROOM];
    expect(room?.["name"]).toBe(model.name);
    for (const event of [...(room?.timeline ?? []), ...(room?.required_state ?? [])]) {
      if (event.type === "m.room.create" || event.type === "m.room.member") continue;
      expect([event.event_id, model.isWhole(event)]).toEqual([
        event.event_id,
        !model.redacted.has(event.event_id ?? ""),
      ]);
    }
    expect((room?.timeline ?? []).map(({ event_id }) => event_id)).toEqual(
      events.slice(-50).map(({ id }) => id as string),
    );
  };
  try {
    const state = rig.roomState(bob, [bob, alice]);
    for (const user of [alice, bob]) await rig.poll(user, [rig.join(ROOM, { state })]);
    for (const { acts, aliceFirst } of steps) {
      const timeline: EventFields[] = [];
      for (const step of acts) make(step, timeline);
      events.push(...timeline);
      const users: UserId[] = aliceFirst ? [alice, bob] : [bob, alice];
      for (const user of users) await rig.poll(user, [rig.join(ROOM, { timeline })]);
      if (acts.some(({ kind }) => kind === "restart")) await rig.nodes.restartHost("sync");
      if (acts.some(({ kind }) => kind === "follow")) {
        const response = await rig.sync(alice, { lists: { all: LIST } }, { pos });
        pos = response.pos;
      }
      if (acts.some(({ kind }) => kind === "look")) await compare();
    }
    count += 1;
    await compare();
  } finally {
    await rig.stop();
  }
}

describe("redactions in any history", () => {
  test("[EVT-58] what was redacted is shown redacted, and everything else whole, by whomever it is asked for", async () => {
    await fc.assert(fc.asyncProperty(polls, check), { numRuns: 60 });
  }, 240_000);
});
