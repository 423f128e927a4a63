/** The three ways to ask for sliding sync; names are those that the server tells. */
export const DIALECTS = ["msc3575", "simplified", "v4"] as const;
export type DialectName = (typeof DIALECTS)[number];

/** An inclusive window of list positions. */
export type Range = readonly [start: number, end: number];

/** One list operation. */
export type ListOp =
  | { op: "SYNC"; range: Range; room_ids: readonly string[] }
  | { op: "INVALIDATE"; range: Range }
  | { op: "DELETE"; index: number }
  | { op: "INSERT"; index: number; room_id: string };

/** An event as clients get it. */
export interface MatrixEvent {
  event_id?: string;
  type: string;
  sender?: string;
  state_key?: string;
  origin_server_ts?: number;
  content: Readonly<Record<string, unknown>>;
  unsigned?: { transaction_id?: string };
  redacts?: string;
}

/** What a response says of one room; members that every dialect has, and those of some. */
export interface RoomUpdate {
  initial?: boolean;
  name?: string | null;
  avatar?: string | null;
  heroes?: readonly { user_id: string; displayname?: string }[];
  is_dm?: boolean;
  required_state?: readonly MatrixEvent[];
  timeline?: readonly MatrixEvent[];
  limited?: boolean;
  prev_batch?: string;
  expanded_timeline?: boolean;
  unstable_expanded_timeline?: boolean;
  joined_count?: number;
  invited_count?: number;
  notification_count?: number;
  highlight_count?: number;
  invite_state?: readonly MatrixEvent[];
  stripped_state?: readonly MatrixEvent[];
  bump_stamp?: number;
  timestamp?: number;
  membership?: string;
  lists?: readonly string[];
}

/** A response of any dialect. */
export interface SyncResponse {
  pos: string;
  lists: Readonly<Record<string, { count: number; ops?: readonly ListOp[] }>>;
  rooms: Readonly<Record<string, RoomUpdate>>;
  extensions: Readonly<Record<string, unknown>>;
}

/** A response as text, read as far as it can be trusted; null when it is none. */
export function readSyncResponse(text: string): SyncResponse | null {
  const value = parseObject(text);
  if (value === null || typeof value["pos"] !== "string") return null;
  return {
    pos: value["pos"],
    lists: objectOr(value["lists"]) as SyncResponse["lists"],
    rooms: objectOr(value["rooms"]) as SyncResponse["rooms"],
    extensions: objectOr(value["extensions"]),
  };
}

/** The JSON object of a text; null when it holds anything else. */
export function parseObject(text: string): Record<string, unknown> | null {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** Whether a value is an object with members. */
export const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

const objectOr = (value: unknown): Record<string, unknown> => (isObject(value) ? value : {});
