import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, type Json, type WireOp, type WireResponse, joined, response } from "#test/support/black-box.ts";
import { type Step, VECTORS, type Vector } from "./list-vectors.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const SPACING = 1000;

const textOf = (vector: Vector): string => {
  const [windows, rooms, steps] = vector;
  const did = steps.map((step) => Object.values(step).join(" to ")).join(", ");
  return `${JSON.stringify(windows)} ${rooms} ${Object.keys(steps[0]!)[0]} ${did}`;
};

describe("a black box's list operations", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  /** A list by name of rooms called by single letters. */
  class Board {
    readonly user = box.user("board");
    readonly #ids = new Map<string, string>();
    #order: string[] = [];
    readonly #places = new Map<string, number>();

    id(letter: string): string {
      let id = this.#ids.get(letter);
      if (id === undefined) this.#ids.set(letter, (id = box.roomId(letter)));
      return id;
    }

    #place(letter: string, at: number): Json {
      const before = at === 0 ? 0 : this.#places.get(this.#order[at - 1]!)!;
      const after = at >= this.#order.length ? before + 2 * SPACING : this.#places.get(this.#order[at]!)!;
      const place = (before + after) / 2;
      this.#order.splice(at, 0, letter);
      this.#places.set(letter, place);
      return { name: `n${String(place).padStart(12, "0")}` };
    }

    room(letter: string, at: number): [string, Json] {
      const name = box.state("m.room.name", this.user.id, this.#place(letter, at));
      const timeline = [...box.beginning(this.user.id), name, box.say(this.user.id, "hi")];
      return joined(this.id(letter), {
        timeline,
        accountData: [{ type: "m.tag", content: { tags: { "m.keep": {} } } }],
      });
    }

    apply(step: Step): [string, Json] {
      if ("add" in step) return this.room(step.add, step.at);
      const letter = "move" in step ? step.move : step.remove;
      this.#order = this.#order.filter((other) => other !== letter);
      if ("remove" in step) {
        return joined(this.id(letter), { accountData: [{ type: "m.tag", content: { tags: {} } }] });
      }
      const name = box.state("m.room.name", this.user.id, this.#place(letter, step.to));
      return joined(this.id(letter), { timeline: [name] });
    }

    text(op: WireOp): string {
      const letterOf = (id: string): string => [...this.#ids].find(([, known]) => known === id)?.[0] ?? "?";
      if (op.op === "DELETE") return `D${op.index}`;
      if (op.op === "INSERT") return `I${op.index}${letterOf(op.room_id!)}`;
      return `${op.op[0]}${op.range!.join("-")}${(op.room_ids ?? []).map(letterOf).join("")}`;
    }

    told(answer: WireResponse, list = "a"): { ops: string; whole: string } {
      const whole = [...this.#ids].filter(([, id]) => answer.rooms[id]?.initial === true).map(([letter]) => letter);
      return {
        ops: (answer.lists[list]?.ops ?? []).map((op) => this.text(op)).join(" "),
        whole: whole.sort().join(""),
      };
    }
  }

  async function boardOf(rooms: string): Promise<Board> {
    const board = new Board();
    box.homeserver.queue(
      board.user.token,
      response(
        rooms.split("").map((letter, at) => board.room(letter, at)),
        { next_batch: "s1" },
      ),
    );
    return board;
  }

  const listOf = (ranges: number[][]): Json => ({
    lists: { a: { ranges, sort: ["by_name"], timeline_limit: 1, filters: { tags: ["m.keep"] } } },
  });

  test.each(VECTORS.map((vector) => [textOf(vector), vector] as const))("[BBX-20] %s", async (_text, vector) => {
    const [windows, rooms, steps, ops, whole] = vector;
    const board = await boardOf(rooms);
    const first = await box.sync(board.user.token, listOf(windows));
    expect(first.lists["a"]!.count).toBe(rooms.length);
    for (const [at, step] of steps.entries()) {
      await box.homeserver.push(board.user.token, response([board.apply(step)], { next_batch: `s${at + 2}` }));
    }
    const next = await box.sync(board.user.token, {}, { pos: first.pos });
    expect(board.told(next)).toEqual({ ops, whole: whole.split("").sort().join("") });
    const change = steps.reduce((sum, step) => sum + ("add" in step ? 1 : "remove" in step ? -1 : 0), 0);
    expect(next.lists["a"]!.count).toBe(rooms.length + change);
    expect((await box.sync(board.user.token, {}, { pos: next.pos })).lists["a"]!.ops).toBeUndefined();
  });

  test("[BBX-21] changed ranges invalidate what is gone and sync what is new, exactly", async () => {
    const letters = "abcdefghijklmnopqrstuvwxyz";
    const board = await boardOf(letters);
    let answer = await box.sync(board.user.token, listOf([[0, 9]]));
    expect(board.told(answer)).toEqual({ ops: "S0-9abcdefghij", whole: "abcdefghij" });
    const steps: [ranges: number[][], ops: string, whole: string][] = [
      [[[5, 15]], "I0-4 S10-15klmnop", "klmnop"],
      [[[10, 20]], "I5-9 S16-20qrstu", "qrstu"],
      [[[20, 30]], "I10-19 S21-25vwxyz", "vwxyz"],
      [[[0, 9]], "I20-25 S0-9abcdefghij", "abcdefghij"],
      [
        [
          [0, 9],
          [12, 13],
        ],
        "S12-13mn",
        "mn",
      ],
      [
        [
          [12, 13],
          [0, 9],
        ],
        "",
        "",
      ],
      [
        [
          [0, 9],
          [30, 40],
        ],
        "I12-13",
        "",
      ],
      [[], "I0-9", ""],
      [[[2, 12]], "S2-12cdefghijklm", "cdefghijklm"],
      [
        [
          [0, 3],
          [6, 6],
          [9, 11],
        ],
        "I4-5 I7-8 I12-12 S0-1ab",
        "ab",
      ],
      [
        [
          [0, 2],
          [3, 5],
        ],
        "I6-6 I9-11 S4-5ef",
        "ef",
      ],
      [[[0, 5]], "", ""],
      [
        [
          [0, 5],
          [7, 7],
        ],
        "S7-7h",
        "h",
      ],
    ];
    for (const [ranges, ops, whole] of steps) {
      answer = await box.sync(board.user.token, { lists: { a: { ranges } } }, { pos: answer.pos });
      expect([ranges, board.told(answer)]).toEqual([ranges, { ops: ops.replaceAll(/I(\d+-)/g, "I$1"), whole }]);
    }
  });

  test("[BBX-22] another sort or filter begins the windows anew", async () => {
    const board = await boardOf("abcdef");
    const { token } = board.user;
    let answer = await box.sync(token, listOf([[0, 2]]));
    const change = async (list: Json): Promise<{ ops: string; whole: string; count: number }> => {
      answer = await box.sync(token, { lists: { a: list } }, { pos: answer.pos });
      return { ...board.told(answer), count: answer.lists["a"]!.count };
    };
    expect(await change({ sort: ["by_recency"] })).toEqual({ ops: "I0-2 S0-2fed", whole: "def", count: 6 });
    expect(await change({ sort: ["by_name"], ranges: [[1, 4]] })).toMatchObject({ ops: "I0-2 S1-4bcde", count: 6 });
    expect(await change({ filters: { is_invite: true } })).toEqual({ ops: "I1-4", whole: "", count: 0 });
    expect(await change({ filters: {} })).toMatchObject({ ops: "S1-4bcde", count: 6 });
    expect(await change({ filters: { room_name_like: "no such room" } })).toMatchObject({ ops: "I1-4", count: 0 });
    expect(await change({ filters: { not_tags: ["m.keep"] } })).toEqual({ ops: "", whole: "", count: 0 });
    const gone = await box.sync(token, { lists: { a: { deleted: true } } }, { pos: answer.pos });
    expect(gone.lists).toEqual({});
  });

  test("[BBX-23] timeline and state that grow come again for what is in view, without operations", async () => {
    const board = await boardOf("abc");
    const { token } = board.user;
    const first = await box.sync(token, listOf([[0, 1]]));
    expect(first.rooms[board.id("a")]!.timeline).toHaveLength(1);
    const more = await box.sync(token, { lists: { a: { timeline_limit: 4 } } }, { pos: first.pos });
    expect(board.told(more)).toEqual({ ops: "", whole: "ab" });
    expect(more.rooms[board.id("a")]!.timeline).toHaveLength(4);
    expect(more.rooms[board.id("a")]!.required_state).toBeUndefined();
    const state = await box.sync(
      token,
      { lists: { a: { required_state: [["m.room.create", ""]] } } },
      { pos: more.pos },
    );
    expect(board.told(state)).toEqual({ ops: "", whole: "ab" });
    expect(state.rooms[board.id("a")]!.required_state).toMatchObject([{ type: "m.room.create" }]);
    expect(state.rooms[board.id("a")]!.timeline).toBeUndefined();
    const same = await box.sync(token, { lists: { a: { timeline_limit: 4 } } }, { pos: state.pos });
    expect(board.told(same)).toEqual({ ops: "", whole: "" });
  });

  test("[BBX-24] slow_get_all_rooms gives all rooms at once and everything that follows", async () => {
    const board = await boardOf("abcdefghijklmnopqrstuvwxyz");
    const { token } = board.user;
    const first = await box.sync(token, { lists: { all: { slow_get_all_rooms: true, timeline_limit: 1 } } });
    expect(first.lists["all"]!.count).toBe(26);
    expect(first.lists["all"]!.ops).toHaveLength(1);
    expect(first.lists["all"]!.ops![0]).toMatchObject({ op: "SYNC", range: [0, 25] });
    expect(new Set(first.lists["all"]!.ops![0]!.room_ids).size).toBe(26);
    expect(Object.keys(first.rooms)).toHaveLength(26);
    const said = box.say(board.user.id, "still here");
    const newcomer = board.room("0", 0);
    await box.homeserver.push(
      token,
      response([joined(board.id("z"), { timeline: [said] }), newcomer], { next_batch: "s2" }),
    );
    const next = await box.sync(token, {}, { pos: first.pos });
    expect(next.lists["all"]).toEqual({ count: 27 });
    expect(next.rooms[board.id("z")]!.timeline).toEqual([said]);
    expect(next.rooms[board.id("z")]!.initial).toBeUndefined();
    expect(next.rooms[newcomer[0]]!.initial).toBe(true);
  });

  test("[BBX-25] messages bump rooms, and what stays in place has no operation", async () => {
    const board = await boardOf("abcd");
    const { token, id: me } = board.user;
    const first = await box.sync(token, { lists: { a: { ranges: [[0, 1]], timeline_limit: 1 } } });
    expect(board.told(first)).toEqual({ ops: "S0-1dc", whole: "cd" });
    const say = async (letter: string, body: string): Promise<Json> => {
      const said = box.say(me, body);
      await box.homeserver.push(
        token,
        response([joined(board.id(letter), { timeline: [said] })], { next_batch: body }),
      );
      return said;
    };
    const d = await say("d", "in place");
    const second = await box.sync(token, {}, { pos: first.pos });
    expect(second.lists["a"]).toEqual({ count: 4 });
    expect(second.rooms).toEqual({
      [board.id("d")]: {
        notification_count: 0,
        highlight_count: 0,
        timeline: [d],
        num_live: 1,
        timestamp: d["origin_server_ts"],
      },
    } as never);
    const [a1, a2] = [await say("a", "one"), await say("a", "two")];
    const third = await box.sync(token, {}, { pos: second.pos });
    expect(board.told(third)).toEqual({ ops: "D1 I0a", whole: "a" });
    expect(third.rooms[board.id("a")]!.timeline!.at(-1)).toEqual(a2 as never);
    expect(third.rooms[board.id("a")]!["num_live"]).toBeGreaterThanOrEqual(1);
    expect(a1).toBeDefined();
    await say("b", "out of view comes in");
    const fourth = await box.sync(token, {}, { pos: third.pos });
    expect(board.told(fourth)).toEqual({ ops: "D1 I0b", whole: "b" });
  });
});
