import type { ModelEvent } from "./homeserver-room.ts";

/** The two forms of simplified sliding sync. */
export type SimplifiedDialect = "simplified" | "v4";

/** What is wanted of a room's state, in both forms. */
export interface StateWish {
  readonly unstable: readonly (readonly [string, string])[];
  readonly include: readonly { type?: string; state_key?: string }[];
  readonly isLazy: boolean;
}

const ME = "$ME";

const NAMES: StateWish = {
  unstable: [
    ["m.room.name", ""],
    ["m.room.topic", ""],
  ],
  include: [
    { type: "m.room.name", state_key: "" },
    { type: "m.room.topic", state_key: "" },
  ],
  isLazy: false,
};
const EVERYTHING: StateWish = { unstable: [["*", "*"]], include: [{}], isLazy: false };
const OWN: StateWish = {
  unstable: [
    ["m.room.create", ""],
    ["m.room.member", ME],
  ],
  include: [
    { type: "m.room.create", state_key: "" },
    { type: "m.room.member", state_key: ME },
  ],
  isLazy: false,
};
const SPEAKERS: StateWish = {
  unstable: [
    ["m.room.name", ""],
    ["m.room.member", "$LAZY"],
  ],
  include: [{ type: "m.room.name", state_key: "" }],
  isLazy: true,
};
const MEMBERS: StateWish = { unstable: [["m.room.member", "*"]], include: [{ type: "m.room.member" }], isLazy: false };
const NOTHING: StateWish = { unstable: [], include: [], isLazy: false };

/** What is wanted of rooms. */
export interface RoomWish {
  readonly limit: number;
  readonly state: StateWish;
}

/** Of lists and subscriptions alike. */
const ROOM_WISHES: readonly RoomWish[] = [
  { limit: 1, state: NAMES },
  { limit: 3, state: EVERYTHING },
  { limit: 2, state: OWN },
  { limit: 10, state: SPEAKERS },
  { limit: 0, state: MEMBERS },
  { limit: 5, state: NOTHING },
];

/** Last places of windows; null = the whole list. */
const ENDS: readonly (number | null)[] = [99, 99, null, 1, 0, 3];

/** `filters`, each as its form has it. */
export interface SimplifiedFilters {
  readonly is_dm?: boolean;
  readonly is_encrypted?: boolean;
  readonly is_invite?: boolean;
  readonly room_types?: readonly (string | null)[];
  readonly not_room_types?: readonly (string | null)[];
  readonly tags?: readonly string[];
  readonly not_tags?: readonly string[];
  readonly spaces?: readonly string[];
}

const FILTERS: readonly SimplifiedFilters[] = [
  {},
  {},
  { is_invite: false },
  { is_invite: true },
  { is_dm: true },
  { is_dm: false, is_invite: false },
  { is_encrypted: true },
  { tags: ["u.x"] },
  { not_tags: ["u.x", "m.favourite"] },
  { spaces: ["!r5"] },
  { room_types: ["m.space"] },
  { not_room_types: ["m.space"] },
];

/** A list as the client wants it. */
export interface SimplifiedList extends RoomWish {
  readonly end: number | null;
  readonly filters: SimplifiedFilters;
}

/** An extension as the client wants it; what is absent is not said. */
export interface SimplifiedExtension {
  readonly lists?: readonly string[];
  readonly rooms?: readonly string[];
}

const EXTENSION_SCOPES: readonly SimplifiedExtension[] = [
  {},
  {},
  { lists: ["l0"], rooms: [] },
  { lists: [], rooms: ["!r0", "!r1"] },
];

/** Something that a client of simplified sliding sync wants otherwise from now on. */
export type SimplifiedChange =
  | {
      readonly kind: "list";
      readonly list: number;
      readonly wish: number;
      readonly end: number;
      readonly filters: number;
    }
  | { readonly kind: "delete"; readonly list: number }
  | { readonly kind: "subscribe"; readonly room: number; readonly wish: number }
  | { readonly kind: "unsubscribe"; readonly room: number }
  | { readonly kind: "extension"; readonly name: string; readonly isOn: boolean; readonly scope: number }
  /** The client starts over, without a position. */
  | { readonly kind: "anew" };

const pick = <T>(from: readonly T[], n: number): T => from[n % from.length] as T;

/** All rooms, as much of each as any wish has. */
export const ALL: SimplifiedList = { limit: 10, state: EVERYTHING, end: 99, filters: {} };

/** All that such a client wants; each request says all of it. */
export class SimplifiedWishes {
  readonly lists = new Map<string, SimplifiedList>();
  readonly rooms = new Map<string, RoomWish>();
  readonly extensions = new Map<string, SimplifiedExtension>();

  change(change: SimplifiedChange): void {
    switch (change.kind) {
      case "list":
        this.lists.set(`l${change.list}`, {
          ...pick(ROOM_WISHES, change.wish),
          end: pick(ENDS, change.end),
          filters: pick(FILTERS, change.filters),
        });
        return;
      case "delete":
        this.lists.delete(`l${change.list}`);
        return;
      case "subscribe":
        this.rooms.set(`!r${change.room}`, pick(ROOM_WISHES, change.wish));
        return;
      case "unsubscribe":
        this.rooms.delete(`!r${change.room}`);
        return;
      case "extension":
        if (change.isOn) this.extensions.set(change.name, pick(EXTENSION_SCOPES, change.scope));
        else this.extensions.delete(change.name);
        return;
      case "anew":
    }
  }

  like(): SimplifiedWishes {
    const wishes = new SimplifiedWishes();
    for (const [key, list] of this.lists) wishes.lists.set(key, list);
    for (const [roomId, wish] of this.rooms) wishes.rooms.set(roomId, wish);
    for (const [name, extension] of this.extensions) wishes.extensions.set(name, extension);
    return wishes;
  }

  /** The request's body in one of the forms; `since`: up to where to-device messages have come. */
  body(dialect: SimplifiedDialect, me: string, since: string): Record<string, unknown> {
    const config = (wish: RoomWish): Record<string, unknown> => ({
      timeline_limit: wish.limit,
      required_state: dialect === "v4" ? v4State(wish.state, me) : wish.state.unstable,
    });
    const list = (wish: SimplifiedList): Record<string, unknown> => ({
      ...config(wish),
      ...windowOf(dialect, wish.end),
      filters: dialect === "v4" ? v4Filters(wish.filters) : wish.filters,
    });
    const extension = ([name, scope]: [string, SimplifiedExtension]): [string, object] => [
      name,
      { enabled: true, ...scope, ...(name === "to_device" && since !== "" ? { since } : {}) },
    ];
    return {
      lists: Object.fromEntries([...this.lists].map(([key, wish]) => [key, list(wish)])),
      room_subscriptions: Object.fromEntries([...this.rooms].map(([roomId, wish]) => [roomId, config(wish)])),
      extensions: Object.fromEntries([...this.extensions].map(extension)),
    };
  }
}

const windowOf = (dialect: SimplifiedDialect, end: number | null): Record<string, unknown> => {
  if (dialect === "v4") return end === null ? {} : { range: [0, end] };
  return { ranges: [[0, end ?? 99]] };
};

const v4State = ({ include, isLazy }: StateWish, me: string): Record<string, unknown> => ({
  include: include.map((pattern) => (pattern.state_key === ME ? { ...pattern, state_key: me } : pattern)),
  ...(isLazy ? { lazy_members: true } : {}),
});

const v4Filters = ({ is_invite: isInvited, ...filters }: SimplifiedFilters): Record<string, unknown> =>
  isInvited === undefined ? filters : { ...filters, is_invited: isInvited };

/** Whether a piece of state is asked for by type and key; who speaks is another matter. */
export function asksFor({ include }: StateWish, { type, stateKey }: ModelEvent, me: string): boolean {
  return include.some(
    (pattern) =>
      (pattern.type ?? type) === type &&
      (pattern.state_key === undefined || (pattern.state_key === ME ? me : pattern.state_key) === stateKey),
  );
}
