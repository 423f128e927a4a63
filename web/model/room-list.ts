import type { ListOp, Range, RoomUpdate } from "./wire.ts";

/** The rooms of one list as far as the client has been told, by their place. */
export interface RoomList {
  readonly count: number;
  /** Undefined where nothing was told. */
  at: (index: number) => string | undefined;
}

/** A list that the server keeps by operations: MSC3575, and the windows of its simplified successor. */
export class OperatedList implements RoomList {
  #count = 0;
  readonly #rooms: (string | undefined)[] = [];

  get count(): number {
    return this.#count;
  }

  at(index: number): string | undefined {
    return this.#rooms[index];
  }

  /** Applies the operations of one response, in their order. */
  apply(count: number, ops: readonly ListOp[]): void {
    let gap: number | null = null;
    for (const op of ops) {
      // A gap that is not filled at once is the list becoming shorter.
      if (gap !== null && op.op !== "INSERT") {
        this.#close(gap);
        gap = null;
      }
      switch (op.op) {
        case "SYNC":
          this.#place(op.range, op.room_ids);
          break;
        case "INVALIDATE":
          this.#rooms.fill(undefined, op.range[0], op.range[1] + 1);
          break;
        case "DELETE":
          this.#rooms[op.index] = undefined;
          gap = op.index;
          break;
        case "INSERT":
          this.#insert(op.index, op.room_id, gap);
          gap = null;
          break;
      }
    }
    if (gap !== null) this.#close(gap);
    this.#count = count;
    if (this.#rooms.length > count) this.#rooms.length = count;
  }

  /** Forgets everything, as for another order. */
  clear(): void {
    this.#rooms.length = 0;
  }

  #place([start]: Range, roomIds: readonly string[]): void {
    const named = new Set(roomIds);
    // What lies outside the windows is old: a room is in one place only.
    for (let index = 0; index < this.#rooms.length; index += 1) {
      const known = this.#rooms[index];
      if (known !== undefined && named.has(known)) this.#rooms[index] = undefined;
    }
    for (const [offset, roomId] of roomIds.entries()) this.#set(start + offset, roomId);
  }

  /** Everything between the gap and the new place moves one step towards the gap. */
  #insert(index: number, roomId: string, gap: number | null): void {
    this.#reach(Math.max(index, gap ?? 0));
    if (gap !== null) this.#rooms.splice(gap, 1);
    // Without a gap there is room at the next hole, or behind the end.
    else if (this.#rooms[index] !== undefined) this.#rooms.splice(this.#runEnd(index), 1);
    else this.#rooms.splice(index, 1);
    this.#rooms.splice(index, 0, roomId);
  }

  #close(gap: number): void {
    const end = this.#runEnd(gap + 1);
    this.#reach(end);
    this.#rooms.splice(gap, 1);
    this.#rooms.splice(end - 1, 0, undefined);
  }

  /** The first place from `index` on of which nothing is known. */
  #runEnd(index: number): number {
    let end = index;
    while (this.#rooms[end] !== undefined) end += 1;
    return end;
  }

  #set(index: number, roomId: string): void {
    this.#reach(index);
    this.#rooms[index] = roomId;
  }

  /** A sparse array would count as shorter than it is when it is spliced. */
  #reach(index: number): void {
    while (this.#rooms.length <= index) this.#rooms.push(undefined);
  }
}

/** A list that the client sorts itself, newest first, by what each room says: v4. */
export class StampedList implements RoomList {
  readonly #key: string;
  #count = 0;
  readonly #stamps = new Map<string, number>();
  #order: string[] = [];

  constructor(key: string) {
    this.#key = key;
  }

  get count(): number {
    return this.#count;
  }

  at(index: number): string | undefined {
    return this.#order[index];
  }

  /** Applies the rooms of one response. */
  apply(count: number, rooms: Readonly<Record<string, RoomUpdate>>): void {
    for (const [roomId, room] of Object.entries(rooms)) {
      if (room.lists !== undefined && !room.lists.includes(this.#key)) this.#stamps.delete(roomId);
      const isListed = room.lists?.includes(this.#key) ?? this.#stamps.has(roomId);
      if (isListed) this.#stamps.set(roomId, room.bump_stamp ?? this.#stamps.get(roomId) ?? 0);
      if (room.membership === "leave" || room.membership === "ban") this.#stamps.delete(roomId);
    }
    this.#count = count;
    this.#order = [...this.#stamps]
      .sort(([a, left], [b, right]) => right - left || (a < b ? -1 : 1))
      .slice(0, count)
      .map(([roomId]) => roomId);
  }
}
