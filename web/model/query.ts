import type { DialectName, Range } from "./wire.ts";

/** The one list that the console asks for. */
export const LIST_KEY = "rooms";

/** Which rooms are wanted; absent = no matter. */
export interface ListFilters {
  isDm?: boolean;
  isEncrypted?: boolean;
  isInvite?: boolean;
  isSpace?: boolean;
  isFavourite?: boolean;
  /** Id of a space whose rooms are wanted. */
  space?: string;
  /** Part of the name; MSC3575 alone can look for it. */
  name?: string;
}

/** In which order; the simplified dialects know only the first. */
export const SORTS = ["recency", "name", "unread"] as const;
export type Sort = (typeof SORTS)[number];

/** Everything the console wants to see, in no dialect. */
export interface ViewQuery {
  filters: ListFilters;
  sort: Sort;
  windows: readonly Range[];
  openRoom: string | null;
  /** All members of the open room, and not only those who are seen. */
  wantsMembers: boolean;
}

/** What a request goes on from. */
export interface ConnectionState {
  connId: string;
  pos: string | null;
  /** MSC3575 remembers parameters: those of the last request that was answered, as text. */
  remembered: string | null;
  /** Rooms that MSC3575 may still hold subscriptions for. */
  subscribed: readonly string[];
  timeoutMs: number;
}

/** One request as it is sent. */
export interface SyncCall {
  /** Below the server's address. */
  path: string;
  body: Record<string, unknown>;
}

const PATHS: Readonly<Record<DialectName, string>> = {
  msc3575: "/_matrix/client/unstable/org.matrix.msc3575/sync",
  simplified: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync",
  v4: "/_matrix/client/v4/sync",
};

const LIST_STATE: readonly (readonly [type: string, stateKey: string])[] = [
  ["m.room.create", ""],
  ["m.room.encryption", ""],
  ["m.room.topic", ""],
];
const LIST_TIMELINE = 1;
const ROOM_TIMELINE = 40;

const SORT_KEYS: Readonly<Record<Sort, readonly string[]>> = {
  recency: ["by_recency"],
  name: ["by_name"],
  unread: ["by_notification_level", "by_recency"],
};

/** What stays the same while one scrolls; MSC3575 is told it once. */
export const stickyPart = ({ filters, sort, openRoom, wantsMembers }: ViewQuery): string =>
  JSON.stringify([filters, sort, openRoom, wantsMembers]);

/** Writes a request in a dialect. */
export function writeCall(dialect: DialectName, query: ViewQuery, state: ConnectionState): SyncCall {
  return dialect === "v4" ? writeV4(query, state) : writeTuples(dialect, query, state);
}

function writeTuples(dialect: "msc3575" | "simplified", query: ViewQuery, state: ConnectionState): SyncCall {
  const params = new URLSearchParams({ timeout: String(state.timeoutMs) });
  if (state.pos !== null) params.set("pos", state.pos);
  const isRemembered = dialect === "msc3575" && state.pos !== null && state.remembered === stickyPart(query);
  const ranges = { ranges: query.windows };
  const list = isRemembered
    ? ranges
    : {
        ...ranges,
        ...(dialect === "msc3575" ? { sort: SORT_KEYS[query.sort] } : {}),
        timeline_limit: LIST_TIMELINE,
        required_state: [...LIST_STATE, ["m.room.member", "$LAZY"]],
        filters: writeFilters(dialect, query.filters),
      };
  const body: Record<string, unknown> = { conn_id: state.connId, lists: { [LIST_KEY]: list } };
  if (!isRemembered) {
    const member = ["m.room.member", query.wantsMembers ? "*" : "$LAZY"];
    if (query.openRoom !== null) {
      const room = { timeline_limit: ROOM_TIMELINE, required_state: [...LIST_STATE, member] };
      body["room_subscriptions"] = { [query.openRoom]: room };
    }
    body["extensions"] = { typing: { enabled: true } };
    const left = dialect === "msc3575" ? state.subscribed.filter((roomId) => roomId !== query.openRoom) : [];
    if (left.length > 0) body["unsubscribe_rooms"] = left;
  }
  return { path: `${PATHS[dialect]}?${params}`, body };
}

function writeV4(query: ViewQuery, state: ConnectionState): SyncCall {
  const include = LIST_STATE.map(([type, key]) => ({ type, state_key: key }));
  const body: Record<string, unknown> = {
    conn_id: state.connId,
    ...(state.pos === null ? {} : { pos: state.pos }),
    timeout: state.timeoutMs,
    lists: {
      [LIST_KEY]: {
        ...(query.windows[0] === undefined ? {} : { range: query.windows[0] }),
        timeline_limit: LIST_TIMELINE,
        required_state: { include, lazy_members: true },
        filters: writeFilters("v4", query.filters),
      },
    },
    extensions: { "org.matrix.msc4508.typing": { enabled: true } },
  };
  if (query.openRoom !== null) {
    const requiredState = query.wantsMembers
      ? { include: [...include, { type: "m.room.member" }] }
      : { include, lazy_members: true };
    body["room_subscriptions"] = {
      [query.openRoom]: { timeline_limit: ROOM_TIMELINE, required_state: requiredState },
    };
  }
  return { path: PATHS.v4, body };
}

function writeFilters(dialect: DialectName, filters: ListFilters): Record<string, unknown> {
  const { isDm, isEncrypted, isInvite, isSpace, isFavourite, space, name } = filters;
  return {
    ...(isDm === undefined ? {} : { is_dm: isDm }),
    ...(isEncrypted === undefined ? {} : { is_encrypted: isEncrypted }),
    ...(isInvite === undefined ? {} : { [dialect === "v4" ? "is_invited" : "is_invite"]: isInvite }),
    ...(isSpace === true ? { room_types: ["m.space"] } : {}),
    ...(isFavourite === true ? { tags: ["m.favourite"] } : {}),
    ...(space === undefined ? {} : { spaces: [space] }),
    ...(dialect === "msc3575" && name !== undefined && name !== "" ? { room_name_like: name } : {}),
  };
}
