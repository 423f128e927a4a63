/** What a client wants of a room. */
export interface Shape {
  readonly timeline_limit: number;
  readonly required_state: readonly (readonly [string, string])[];
}

/** No two have the limit or the state in common: a change of one alone sends that one alone. */
export const SHAPES: readonly Shape[] = [
  { timeline_limit: 1, required_state: [] },
  {
    timeline_limit: 3,
    required_state: [
      ["m.room.create", ""],
      ["m.room.name", ""],
      ["m.room.member", "$ME"],
    ],
  },
  { timeline_limit: 5, required_state: [["*", "*"]] },
  {
    timeline_limit: 2,
    required_state: [
      ["m.room.member", "$LAZY"],
      ["m.room.topic", ""],
    ],
  },
  {
    timeline_limit: 0,
    required_state: [
      ["m.room.member", "*"],
      ["m.room.encryption", ""],
    ],
  },
  {
    timeline_limit: 10,
    required_state: [
      ["*", "*"],
      ["m.room.member", "$LAZY"],
    ],
  },
  {
    timeline_limit: 20,
    required_state: [
      ["*", ""],
      ["m.room.member", "$ME"],
    ],
  },
];

type Ranges = readonly (readonly [number, number])[];

export const RANGES: readonly Ranges[] = [
  [[0, 20]],
  [[0, 1]],
  [[0, 0]],
  [[0, 2]],
  [[1, 3]],
  [
    [0, 1],
    [3, 4],
  ],
  [
    [0, 0],
    [2, 3],
    [4, 9],
  ],
  [[2, 2]],
  [],
];

/** `filters` of a list. */
export interface Filters {
  is_dm?: boolean;
  is_encrypted?: boolean;
  is_invite?: boolean;
  is_tombstoned?: boolean;
  room_name_like?: string;
  room_types?: (string | null)[];
  not_room_types?: (string | null)[];
  tags?: string[];
  not_tags?: string[];
  spaces?: string[];
}

export const FILTERS: readonly Filters[] = [
  {},
  { is_invite: false },
  { is_invite: true },
  { is_dm: true },
  { is_dm: false },
  { is_encrypted: true },
  { is_encrypted: false, is_invite: false },
  { tags: ["u.x"] },
  { not_tags: ["u.x", "m.favourite"] },
  { spaces: ["!r5"] },
  { room_types: [null] },
  { not_room_types: ["m.space"] },
  { room_types: ["m.space"], is_invite: false },
  { room_name_like: "room" },
  { is_tombstoned: true },
  { room_types: [null], spaces: ["!r5", "!r8"] },
];

export const SORTS: readonly (readonly string[])[] = [
  ["by_recency"],
  ["by_name"],
  ["by_notification_level", "by_recency"],
  ["by_highlight_count", "by_name"],
  ["by_notification_count", "by_recency"],
];

const BUMPS: readonly (readonly string[])[] = [
  [],
  ["m.room.message", "m.sticker"],
  ["org.example.custom", "m.room.message"],
];

/** `lists` and `rooms` of an extension. */
export const SCOPES: readonly { lists?: string[]; rooms?: string[] }[] = [
  { lists: ["*"], rooms: ["*"] },
  { lists: ["l0"], rooms: [] },
  { lists: [], rooms: ["*"] },
  { lists: ["nowhere"], rooms: ["!r0", "!r1"] },
];

/** A list as the client wants it; what is absent has never been set. */
export interface ListWish extends Shape {
  ranges: Ranges;
  sort: readonly string[];
  filters: Filters;
  bump_event_types: readonly string[];
  slow_get_all_rooms: boolean;
  include_heroes: boolean;
  include_old_rooms?: Shape;
}

/** An extension as the client wants it. */
export interface ExtensionWish {
  enabled: boolean;
  lists?: string[];
  rooms?: string[];
}

export type Change =
  | {
      readonly kind: "ranges" | "filters" | "sort" | "bump" | "shape" | "limit" | "state" | "old-rooms" | "slow";
      readonly list: number;
      readonly n: number;
    }
  | { readonly kind: "delete"; readonly list: number }
  | { readonly kind: "subscribe"; readonly room: number; readonly n: number }
  | { readonly kind: "unsubscribe"; readonly room: number }
  | { readonly kind: "extension"; readonly name: string; readonly isOn: boolean; readonly scope: number }
  /** The client starts over, without a position. */
  | { readonly kind: "anew" };

/** All that a client wants of its connection, and what of it the server may not know yet. */
export class Wishes {
  readonly lists = new Map<string, ListWish>();
  readonly rooms = new Map<string, Shape>();
  readonly extensions = new Map<string, ExtensionWish>();
  /** Extensions that were never switched or aimed anew on this connection. */
  readonly steadyExtensions = new Set<string>();
  /** All that was ever asked for of rooms on this connection. */
  readonly ever = new Set<Shape>();
  /** When each element was changed last, until that is confirmed. */
  readonly #unconfirmed = new Map<string, number>();
  #changes = 0;

  /** As a client begins. */
  static plain(n: number): Wishes {
    const wishes = new Wishes();
    wishes.lists.set("l0", { ...newList(), ...SHAPES[1 + (n % 3)] });
    for (const name of ["account_data", "receipts", "typing", "to_device", "e2ee"]) {
      wishes.extensions.set(name, { enabled: true });
    }
    wishes.beginAnew();
    return wishes;
  }

  like(): Wishes {
    const wishes = new Wishes();
    for (const [key, list] of this.lists) wishes.lists.set(key, list);
    for (const [roomId, shape] of this.rooms) wishes.rooms.set(roomId, shape);
    for (const [name, extension] of this.extensions) {
      if (name !== "to_device" && name !== "e2ee") wishes.extensions.set(name, extension);
    }
    wishes.beginAnew();
    return wishes;
  }

  /** A new connection knows nothing. */
  beginAnew(): void {
    this.#unconfirmed.clear();
    this.ever.clear();
    this.#noteShapes();
    this.#changes += 1;
    for (const key of this.lists.keys()) this.#unconfirmed.set(`l ${key}`, this.#changes);
    for (const roomId of this.rooms.keys()) this.#unconfirmed.set(`r ${roomId}`, this.#changes);
    for (const [name, { enabled }] of this.extensions) {
      this.#unconfirmed.set(`e ${name}`, this.#changes);
      if (enabled) this.steadyExtensions.add(name);
      else this.steadyExtensions.delete(name);
    }
  }

  change(change: Change): void {
    this.#changes += 1;
    switch (change.kind) {
      case "anew":
        return;
      case "extension": {
        const wish = { enabled: change.isOn, ...SCOPES[change.scope] };
        this.extensions.set(change.name, wish);
        this.steadyExtensions.delete(change.name);
        this.#unconfirmed.set(`e ${change.name}`, this.#changes);
        return;
      }
      case "subscribe":
      case "unsubscribe": {
        const roomId = `!r${change.room}`;
        if (change.kind === "subscribe") this.rooms.set(roomId, SHAPES[change.n] as Shape);
        else this.rooms.delete(roomId);
        this.#unconfirmed.set(`r ${roomId}`, this.#changes);
        return;
      }
      case "delete":
        if (this.lists.delete(`l${change.list}`)) this.#unconfirmed.set(`l l${change.list}`, this.#changes);
        return;
      default:
        // What counts as a bump is asked for once: later it counts from the next event on only.
        if (change.kind === "bump" && this.lists.has(`l${change.list}`)) return;
        this.lists.set(
          `l${change.list}`,
          changedList(this.lists.get(`l${change.list}`) ?? newList(), change.kind, change.n),
        );
        this.#unconfirmed.set(`l l${change.list}`, this.#changes);
    }
  }

  #noteShapes(): void {
    for (const shape of [...this.lists.values(), ...this.rooms.values()]) this.ever.add(shape);
  }

  /** True when every room was always asked for alike. */
  get isUniform(): boolean {
    const [first, ...others] = [...this.ever].map((shape) =>
      JSON.stringify([shape.timeline_limit, shape.required_state]),
    );
    return others.every((other) => other === first);
  }

  /** The request body, and the number by which it is confirmed. */
  body(): { body: Record<string, unknown>; upTo: number } {
    this.#noteShapes();
    const lists: Record<string, unknown> = {};
    const subscriptions: Record<string, unknown> = {};
    const unsubscribed: string[] = [];
    const extensions: Record<string, unknown> = {};
    for (const item of this.#unconfirmed.keys()) {
      const key = item.slice(2);
      if (item.startsWith("l ")) lists[key] = this.lists.get(key) ?? { deleted: true };
      else if (item.startsWith("e ")) extensions[key] = this.extensions.get(key);
      else if (this.rooms.has(key)) subscriptions[key] = this.rooms.get(key);
      else unsubscribed.push(key);
    }
    const body = { lists, room_subscriptions: subscriptions, unsubscribe_rooms: unsubscribed, extensions };
    return { body, upTo: this.#changes };
  }

  /** What was sent up to this number counts. */
  confirm(upTo: number): void {
    for (const [item, at] of this.#unconfirmed) if (at <= upTo) this.#unconfirmed.delete(item);
  }

  get isConfirmed(): boolean {
    return this.#unconfirmed.size === 0;
  }
}

const newList = (): ListWish => ({
  ranges: RANGES[0] as Ranges,
  sort: ["by_recency"],
  filters: {},
  bump_event_types: [],
  slow_get_all_rooms: false,
  include_heroes: true,
  ...(SHAPES[1] as Shape),
});

function changedList(list: ListWish, kind: Extract<Change, { list: number; n: number }>["kind"], n: number): ListWish {
  switch (kind) {
    case "ranges":
      return { ...list, ranges: RANGES[n] as Ranges };
    case "filters":
      return { ...list, filters: FILTERS[n] as Filters };
    case "sort":
      return { ...list, sort: SORTS[n] ?? [] };
    case "bump":
      return { ...list, bump_event_types: BUMPS[n] ?? [] };
    case "shape":
      return { ...list, ...SHAPES[n] };
    case "limit":
      return { ...list, timeline_limit: SHAPES[n]?.timeline_limit ?? 0 };
    case "state":
      return { ...list, required_state: SHAPES[n]?.required_state ?? [] };
    case "old-rooms":
      return { ...list, include_old_rooms: SHAPES[n + 1] as Shape };
    case "slow":
      return { ...list, slow_get_all_rooms: n === 1 };
  }
}
