import type { ListOp } from "#src/protocol/list-ops.ts";

/** A list as a simple client keeps it: indices to rooms, changed by operations and nothing else. */
export class NaiveList<R> {
  readonly rooms = new Map<number, R>();

  apply(ops: readonly ListOp<R>[]): void {
    let gap: number | null = null;
    for (const op of ops) {
      if (gap !== null && op.op !== "INSERT") {
        this.#close(gap);
        gap = null;
      }
      switch (op.op) {
        case "SYNC":
          for (const [offset, room] of op.rooms.entries()) this.rooms.set(op.range[0] + offset, room);
          break;
        case "INVALIDATE":
          for (let index = op.range[0]; index <= op.range[1]; index += 1) this.rooms.delete(index);
          break;
        case "DELETE":
          this.rooms.delete(op.index);
          gap = op.index;
          break;
        case "INSERT":
          if (gap === null) throw new Error(`INSERT ${op.index} without a DELETE before it`);
          this.#shift(gap, op.index);
          this.rooms.set(op.index, op.room);
          gap = null;
          break;
      }
    }
    if (gap !== null) this.#close(gap);
  }

  /** Room at each index of these windows that lies below `count`. */
  window(ranges: readonly (readonly [number, number])[], count: number): (R | undefined)[] {
    const seen: (R | undefined)[] = [];
    for (const [start, end] of ranges) {
      for (let index = start; index <= end && index < count; index += 1) seen.push(this.rooms.get(index));
    }
    return seen;
  }

  /** Moves what lies between the gap and the index one step towards the gap. */
  #shift(gap: number, index: number): void {
    const step = gap > index ? -1 : 1;
    for (let at = gap; at !== index; at += step) {
      const room = this.rooms.get(at + step);
      if (room === undefined) this.rooms.delete(at);
      else this.rooms.set(at, room);
    }
  }

  /** A removal without replacement: the unbroken run behind it moves up. */
  #close(gap: number): void {
    let at = gap;
    for (let room = this.rooms.get(at + 1); room !== undefined; room = this.rooms.get(at + 1)) {
      this.rooms.set(at, room);
      at += 1;
    }
    this.rooms.delete(at);
  }
}

/** An operation as it is on the wire. */
export interface WireOp {
  op: "SYNC" | "INVALIDATE" | "DELETE" | "INSERT";
  range?: [number, number];
  room_ids?: string[];
  index?: number;
  room_id?: string;
}

export interface WireEvent {
  event_id?: string;
  type: string;
  state_key?: string;
  [member: string]: unknown;
}

export interface WireRoom {
  initial?: boolean;
  timeline?: WireEvent[];
  required_state?: WireEvent[];
  [member: string]: unknown;
}

/** The parts of an MSC3575 response that a room list is made from. */
export interface WireResponse {
  pos: string;
  lists: Record<string, { count: number; ops?: WireOp[] }>;
  rooms: Record<string, WireRoom>;
}

/** What a client knows of one room. */
export interface ClientRoom {
  /** `name`, `avatar`, counts and the like, as last told. */
  head: Record<string, unknown>;
  timeline: WireEvent[];
  /** Current state by `type` and `state_key`, as far as it was told. */
  state: Map<string, WireEvent>;
}

/** Key of `ClientRoom.state`. */
export const stateKeyOf = (type: string, stateKey: string): string => `${type}\n${stateKey}`;

/** Applies whole responses the way a simple client does, and notes what no server should send. */
export class NaiveClient {
  pos: string | null = null;
  readonly lists = new Map<string, { count: number; list: NaiveList<string> }>();
  readonly rooms = new Map<string, ClientRoom>();
  /** Empty for a well-behaved server. */
  readonly problems: string[] = [];

  apply(response: WireResponse): void {
    this.pos = response.pos;
    for (const key of this.lists.keys()) if (!Object.hasOwn(response.lists, key)) this.lists.delete(key);
    for (const [key, { count, ops }] of Object.entries(response.lists)) {
      const known = this.lists.get(key) ?? { count: 0, list: new NaiveList<string>() };
      known.count = count;
      known.list.apply((ops ?? []).map(readOp));
      this.lists.set(key, known);
    }
    for (const [roomId, room] of Object.entries(response.rooms)) this.#applyRoom(roomId, room);
    for (const [key, { list }] of this.lists) {
      for (const roomId of list.rooms.values()) {
        if (!this.rooms.has(roomId)) this.problems.push(`list ${key} names ${roomId}, of which nothing was sent`);
      }
    }
  }

  /** Room ids a list shows in these windows, in order; undefined where the client has been told nothing. */
  window(key: string, ranges: readonly (readonly [number, number])[]): (string | undefined)[] {
    const known = this.lists.get(key);
    return known === undefined ? [] : known.list.window(ranges, known.count);
  }

  #applyRoom(roomId: string, room: WireRoom): void {
    const { initial, timeline = [], required_state: state = [], ...head } = room;
    let known = this.rooms.get(roomId);
    if (known === undefined && initial !== true && timeline.length > 0) {
      this.problems.push(`${roomId} has events before its initial entry`);
    }
    if (known === undefined || initial === true) {
      known = { head: {}, timeline: [], state: new Map() };
      // Unread counts come for any room; only an initial entry makes it known.
      if (initial === true || timeline.length > 0) this.rooms.set(roomId, known);
    }
    Object.assign(known.head, head);
    for (const event of state) known.state.set(stateKeyOf(event.type, event.state_key ?? ""), event);
    const ids = new Set(known.timeline.map((event) => event.event_id));
    for (const event of timeline) {
      if (event.event_id !== undefined && ids.has(event.event_id)) {
        this.problems.push(`${roomId} got ${event.event_id} twice`);
      }
      ids.add(event.event_id);
      known.timeline.push(event);
      if (event.state_key !== undefined) known.state.set(stateKeyOf(event.type, event.state_key), event);
    }
  }
}

function readOp(op: WireOp): ListOp<string> {
  switch (op.op) {
    case "SYNC":
      return { op: "SYNC", range: need(op.range, op), rooms: op.room_ids ?? [] };
    case "INVALIDATE":
      return { op: "INVALIDATE", range: need(op.range, op) };
    case "DELETE":
      return { op: "DELETE", index: need(op.index, op) };
    case "INSERT":
      return { op: "INSERT", index: need(op.index, op), room: need(op.room_id, op) };
  }
}

function need<T>(value: T | undefined, op: WireOp): T {
  if (value === undefined) throw new Error(`incomplete operation ${JSON.stringify(op)}`);
  return value;
}
