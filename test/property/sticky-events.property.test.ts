import { expect, test } from "bun:test";
import fc from "fast-check";
import { NO_STICKY_PROGRESS } from "#src/protocol/engine/sticky-extension.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import { StickyAsking } from "#test/support/sticky-asking.ts";

const NIDS = [1, 2, 3] as const;

type Step =
  | { do: "say"; nid: number; waits: boolean }
  | { do: "waited" | "restart" | "start over" }
  | { do: "list" | "unlist" | "leave" | "join"; nid: number }
  | { do: "ask"; limit: number; shown: readonly number[]; isLost: boolean };

const nid = fc.constantFrom(...NIDS);
const step: fc.Arbitrary<Step> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ do: fc.constant("say" as const), nid, waits: fc.boolean() }) },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constantFrom("waited" as const, "restart" as const, "start over" as const) }),
  },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constantFrom("list" as const, "list" as const, "unlist" as const, "leave" as const, "join" as const),
      nid,
    }),
  },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("ask" as const),
      limit: fc.constantFrom(0, 1, 2, 100),
      shown: fc.subarray([...NIDS]),
      isLost: fc.boolean(),
    }),
  },
);

/** A client that drops what it is told of rooms that it does not have. */
class Client {
  readonly #asking = new StickyAsking(NIDS);
  readonly #rooms = new Set<number>();
  /** How often events were told: at all, and in rooms that the server knew it to have. */
  readonly #told = new Map<string, { seen: number; sure: number }>();
  readonly #roomOf = new Map<string, number>();
  readonly problems: string[] = [];
  #pos = 10;

  take(step: Step): void {
    const { world, listed, known } = this.#asking;
    switch (step.do) {
      case "say":
        return this.#say(step.nid as RoomNid, step.waits);
      case "waited":
        return world.held.clear();
      case "restart":
        this.#asking.progress = NO_STICKY_PROGRESS;
        return;
      case "start over":
        this.#asking.progress = NO_STICKY_PROGRESS;
        return known.clear();
      case "list":
        return void listed.add(step.nid);
      case "unlist":
        return void listed.delete(step.nid);
      case "leave":
        return void world.set(step.nid, { membership: "leave" });
      case "join":
        return this.#join(step.nid as RoomNid);
      case "ask":
        this.#ask(step);
    }
  }

  #say(room: RoomNid, waits: boolean): void {
    const { world } = this.#asking;
    this.#pos += 1;
    this.#asking.add(room, this.#pos, waits ? world.userId : "@bob:hs");
    this.#roomOf.set(`$${this.#pos}`, room);
    if (waits && !world.held.has(room)) world.held.set(room, this.#pos);
  }

  #join(room: RoomNid): void {
    const { world } = this.#asking;
    if (world.standing(room)?.membership === "join") return;
    this.#pos += 1;
    this.#asking.upTo = this.#pos;
    world.set(room, { membership: "join", joinPos: this.#pos });
    // What is sticky there comes with the join, whatever came before.
    for (const [id, at] of this.#roomOf) if (at === room) this.#told.delete(id);
  }

  #ask({ limit, shown, isLost }: Extract<Step, { do: "ask" }>): string[] {
    const { world, listed, known } = this.#asking;
    const before = new Set(known);
    for (const room of shown)
      if (listed.has(room) && world.standing(room as RoomNid)?.membership === "join") known.add(room);
    const ids = this.#asking.ask({ limit, isLost });
    if (isLost) {
      known.clear();
      for (const room of before) known.add(room);
      return ids;
    }
    for (const room of known) this.#rooms.add(room);
    for (const id of ids) {
      const room = this.#roomOf.get(id) ?? 0;
      const { seen, sure } = this.#told.get(id) ?? { seen: 0, sure: 0 };
      if (this.#rooms.has(room)) this.#told.set(id, { seen: seen + 1, sure: sure + (known.has(room) ? 1 : 0) });
    }
    return ids;
  }

  /** Looks at everything until there is no more to tell. */
  settle(): void {
    const { world, listed } = this.#asking;
    world.held.clear();
    for (const room of NIDS) listed.add(room);
    const ask = { do: "ask", limit: 2, shown: NIDS, isLost: false } as const;
    for (let count = 0; this.#ask(ask).length > 0; count += 1) {
      if (count < this.#roomOf.size + 1) continue;
      this.problems.push("the same is told again and again");
      return;
    }
    if (this.#asking.hasMore) this.problems.push("there is nothing to tell, and no rest");
    for (const [id, room] of this.#roomOf) {
      const { seen = 0, sure = 0 } = this.#told.get(id) ?? {};
      if (world.standing(room as RoomNid)?.membership === "join" && seen === 0) this.problems.push(`${id} is missing`);
      if (sure > 1) this.problems.push(`${id} was told ${sure} times`);
    }
  }
}

test("[STE-33] whatever is listed, shown, lost or forgotten, a client has all sticky events of its rooms in the end, and is told none twice of a room that it is known to have", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const client = new Client();
      for (const each of steps) client.take(each);
      client.settle();
      expect(client.problems).toEqual([]);
    }),
    { numRuns: 2000 },
  );
});
