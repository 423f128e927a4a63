import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { type SimplifiedAnswer, SimplifiedClient } from "#test/support/simplified-client.ts";

const ROOMS = ["a", "b", "c", "d"];
const RUNS = 80;
const TYPES = ["m.room.name", "m.room.topic", "m.room.avatar"];

type Act =
  | { do: "say"; room: number; count: number }
  | { do: "set"; room: number; type: number }
  | { do: "gap"; room: number; type: number }
  | { do: "part"; room: number }
  | { do: "ask"; windows: [number, number][]; limit: number; state: number; subscribed: number; isLost: boolean }
  | { do: "start" }
  | { do: "restart" };

const room = fc.nat({ max: ROOMS.length - 1 });
const window = fc.tuple(fc.nat({ max: 4 }), fc.nat({ max: 4 }));
const act: fc.Arbitrary<Act> = fc.oneof(
  { weight: 4, arbitrary: fc.record({ do: fc.constant("say" as const), room, count: fc.integer({ min: 1, max: 4 }) }) },
  { weight: 2, arbitrary: fc.record({ do: fc.constant("set" as const), room, type: fc.nat({ max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("gap" as const), room, type: fc.nat({ max: 2 }) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("part" as const), room }) },
  {
    weight: 6,
    arbitrary: fc.record({
      do: fc.constant("ask" as const),
      windows: fc.array(window, { maxLength: 2 }),
      limit: fc.nat({ max: 3 }),
      state: fc.nat({ max: 3 }),
      subscribed: fc.nat({ max: 15 }),
      isLost: fc.boolean(),
    }),
  },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("start" as const) }) },
  { weight: 1, arbitrary: fc.record({ do: fc.constant("restart" as const) }) },
);

/** Away while something is said, and back before the client asks again. */
const AWAY_BETWEEN: Act[] = [
  { do: "part", room: 2 },
  { do: "part", room: 2 },
  { do: "set", room: 0, type: 0 },
  { do: "say", room: 0, count: 1 },
  { do: "ask", windows: [], limit: 0, state: 0, subscribed: 4, isLost: false },
  { do: "part", room: 2 },
  { do: "gap", room: 0, type: 0 },
  { do: "part", room: 2 },
];

/** What a client makes of what it is told. */
class Belief {
  readonly rooms = new Map<string, { events: string[]; state: Map<string, string>; asked: Set<string> }>();

  take(answer: SimplifiedAnswer, askedState: ReadonlySet<string>): void {
    for (const [roomId, told] of Object.entries(answer.rooms)) {
      let known = this.rooms.get(roomId);
      if (known === undefined || told.initial === true) {
        expect([roomId, told.initial]).toEqual([roomId, true]);
        known = { events: [], state: new Map(), asked: new Set() };
        this.rooms.set(roomId, known);
      }
      const ids = (told.timeline ?? []).map((event) => event.event_id ?? "");
      if (told.unstable_expanded_timeline === true || told.limited === true) known.events = ids;
      else known.events.push(...ids);
      for (const type of askedState) known.asked.add(type);
      for (const event of told.required_state ?? []) known.state.set(event.type, event.event_id ?? "");
    }
  }
}

/** What is really so. */
interface Truth {
  events: string[];
  state: Map<string, string>;
  isIn: boolean;
}

describe("a client of simplified sliding sync", () => {
  test("[SSS-28] holds what is so, whatever it looked at, lost or asked for in between", async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(act, { minLength: 5, maxLength: 30 }), async (acts) => {
        const rig = await FrontRig.start();
        try {
          await new Life(rig, "life").run(acts);
        } finally {
          await rig.stop();
        }
      }),
      { numRuns: RUNS, examples: [[AWAY_BETWEEN]], includeErrorInReport: true },
    );
  }, 120_000);
});

class Life {
  readonly #rig: FrontRig;
  readonly #id: string;
  readonly #me: Session;
  readonly #truth = new Map<string, Truth>();
  #client: SimplifiedClient;
  #belief = new Belief();

  constructor(rig: FrontRig, name: string) {
    this.#rig = rig;
    this.#id = `@${name}:test`;
    const join: Record<string, unknown> = {};
    for (const room of ROOMS) {
      const create = rig.event("m.room.create", this.#id, { room_version: "11" }, "");
      const own = rig.event("m.room.member", this.#id, { membership: "join" }, this.#id);
      const first = rig.say(this.#id, "first");
      const roomId = `!${name}-${room}:test`;
      join[roomId] = {
        state: { events: [create, own] },
        timeline: { events: [first], limited: true, prev_batch: "p" },
      };
      this.#truth.set(roomId, { events: [first.event_id ?? ""], state: new Map(), isIn: true });
    }
    this.#me = rig.account(name, { rooms: { join } });
    this.#client = new SimplifiedClient(rig, this.#me);
  }

  async run(acts: readonly Act[]): Promise<void> {
    await this.#ask([[0, 1]], 1, 1, 0, false);
    for (const act of acts) await this.#do(act);
    await this.#ask([[0, 9]], 1, 3, 0, false);
    await this.#ask([[0, 9]], 1, 3, 0, false);
    for (const [roomId, truth] of this.#truth) {
      const known = this.#belief.rooms.get(roomId);
      if (!truth.isIn) continue;
      expect([roomId, known?.events.at(-1)]).toEqual([roomId, truth.events.at(-1)]);
      expect([roomId, known?.state]).toEqual([roomId, truth.state]);
    }
  }

  async #do(act: Act): Promise<void> {
    switch (act.do) {
      case "say":
        return this.#play(act.room, () =>
          Array.from({ length: act.count }, (_, index) => this.#rig.say(this.#id, `${index}`)),
        );
      case "set":
        return this.#play(act.room, (truth) => [this.#state(truth, act.type)]);
      case "gap":
        return this.#play(act.room, () => [this.#rig.say(this.#id, "after")], act.type);
      case "part":
        return this.#part(act.room);
      case "ask":
        return this.#ask(act.windows, act.limit, act.state, act.subscribed, act.isLost);
      case "restart":
        await this.#rig.node.shutDown();
        return this.#rig.node.boot();
      case "start":
        this.#client = new SimplifiedClient(this.#rig, this.#me);
        this.#belief = new Belief();
        return this.#ask([[0, 1]], 1, 1, 0, false);
    }
  }

  #room(index: number): [string, Truth] {
    const entry = [...this.#truth][index];
    if (entry === undefined) throw new Error("no such room");
    return entry;
  }

  #state(truth: Truth, index: number): WireEvent {
    const type = TYPES[index] ?? "";
    const event = this.#rig.event(type, this.#id, { name: lastOf(truth), url: "mxc://x", topic: "t" }, "");
    truth.state.set(type, event.event_id ?? "");
    return event;
  }

  /** Devices that nobody asks for are not polled, as after a restart. */
  async #awaken(): Promise<void> {
    await new SimplifiedClient(this.#rig, this.#me).sync({ conn_id: "awaken" });
  }

  async #play(index: number, make: (truth: Truth) => WireEvent[], gapType?: number): Promise<void> {
    const [roomId, truth] = this.#room(index);
    if (!truth.isIn) return;
    const behind = gapType === undefined ? [] : [this.#state(truth, gapType)];
    const events = make(truth);
    truth.events.push(...events.map((event) => event.event_id ?? ""));
    const gap = gapType === undefined ? {} : { limited: true, prev_batch: "gap" };
    const section = { state: { events: behind }, timeline: { events, ...gap } };
    await this.#awaken();
    await this.#rig.poll(this.#me, { rooms: { join: { [roomId]: section } } });
  }

  /** Leaves, or comes back. */
  async #part(index: number): Promise<void> {
    const [roomId, truth] = this.#room(index);
    const membership = truth.isIn ? "leave" : "join";
    const event = this.#rig.event("m.room.member", this.#id, { membership }, this.#id);
    truth.isIn = !truth.isIn;
    truth.events.push(event.event_id ?? "");
    const section = { timeline: { events: [event] } };
    const rooms = truth.isIn ? { join: { [roomId]: section } } : { leave: { [roomId]: section } };
    await this.#awaken();
    await this.#rig.poll(this.#me, { rooms });
  }

  async #ask(
    windows: [number, number][],
    limit: number,
    state: number,
    subscribed: number,
    isLost: boolean,
  ): Promise<void> {
    const types = TYPES.slice(0, state);
    const config = { timeline_limit: limit, required_state: types.map((type) => [type, ""]) };
    const rooms = [...this.#truth.keys()].filter((_, index) => Math.floor(subscribed / 2 ** index) % 2 === 1);
    const body = {
      lists: { all: { ...config, ranges: windows } },
      room_subscriptions: Object.fromEntries(rooms.map((roomId) => [roomId, config])),
    };
    const pos = this.#client.pos;
    const answer = await this.#client.sync(body);
    if (isLost && pos !== undefined) {
      this.#client.pos = pos;
      return;
    }
    this.#belief.take(answer, new Set(types));
    for (const [roomId, { events }] of this.#belief.rooms) this.#checkOrder(roomId, events, limit);
  }

  /** What a client has of a timeline is a piece of it, without holes. */
  #checkOrder(roomId: string, events: readonly string[], limit: number): void {
    const truth = this.#truth.get(roomId)?.events ?? [];
    if (limit === 0 || events.length === 0) return;
    const at = truth.indexOf(events[0] ?? "");
    expect([roomId, at >= 0]).toEqual([roomId, true]);
    const distinct = [...new Set(events)];
    expect([roomId, ...distinct]).toEqual([roomId, ...truth.slice(at, at + distinct.length)]);
  }
}

const lastOf = (truth: Truth): string => truth.events.at(-1) ?? "";
