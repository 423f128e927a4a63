import type { RoomNid, StreamPos } from "../ids.ts";
import type { ListOp } from "../list-ops.ts";
import type { RoomConfig } from "../sticky.ts";

/** Why a room is in a response, and how much of it. */
export interface RoomDraft {
  nid: RoomNid;
  /** `initial` replaces what the client has; `delta` adds; `counts` carries unread counts alone. */
  kind: "initial" | "delta" | "counts";
  config: RoomConfig;
  /** What is sent of the room's timeline is in (since, upTo]: those of the draft, unless an own event waits or has waited. */
  since: StreamPos;
  upTo: StreamPos;
  /** Parts of an initial entry; both false for nothing but the head. */
  withTimeline: boolean;
  withState: boolean;
  /** The client asked for it, rather than that something happened: a timeline limit counts from before the live events. */
  isAsked: boolean;
}

export const EXTENSION_NAMES = ["to_device", "e2ee", "account_data", "receipts", "typing"] as const;
export type ExtensionName = (typeof EXTENSION_NAMES)[number];

/** One response before its data is read: decided from memory alone. */
export interface Draft {
  /** Nothing was sent in this life of the connection before. */
  isFirst: boolean;
  /** Everything in view up to here was sent before; what is sent now is in (since, upTo]. */
  since: StreamPos;
  upTo: StreamPos;
  lists: { key: string; count: number; ops: ListOp<RoomNid>[] }[];
  rooms: Map<RoomNid, RoomDraft>;
  /** Union over all lists: what moves `timestamp`. Empty = any event. */
  bumpTypes: readonly string[];
  /** Dirty bits consumed by this draft. */
  dirty: ReadonlyMap<RoomNid, number>;
  dirtyUser: number;
  /** Extensions that speak for the first time on this connection. */
  startedExtensions: ReadonlySet<ExtensionName>;
}

/** True when the lists or rooms of the draft have something to say. */
export function hasRoomsOrOps(draft: Draft): boolean {
  return draft.rooms.size > 0 || draft.lists.some((list) => list.ops.length > 0);
}
