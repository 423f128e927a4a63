import type { RoomNid, StreamPos } from "../ids.ts";
import type { ListOp } from "../list-ops.ts";
import type { Range } from "../ranges.ts";
import type { HeldRoom } from "./held-room.ts";
import type { StateTuple } from "../required-state.ts";
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
  /** What the client held of the room, where that is remembered room by room; null = nothing. */
  held?: HeldRoom | null;
  /** More of the timeline is asked for than was sent: its newest events come whole. */
  isExpanded?: boolean;
  /** Other state is asked for than was. */
  isGrown?: boolean;
  /** The user left by themselves. */
  selfLeft?: boolean;
  /** Entries of what was asked for and is not any more, of state that has changed: the client no longer has it. */
  forgetsState?: ReadonlySet<StateTuple>;
  /** Less of the timeline is asked for than was, and some of it was left out: the client no longer has what it had. */
  forgetsTimeline?: boolean;
}

export const EXTENSION_NAMES = ["to_device", "e2ee", "account_data", "receipts", "typing"] as const;
export type ExtensionName = (typeof EXTENSION_NAMES)[number];

/** What is said of one list. */
export interface DraftList {
  key: string;
  count: number;
  ops: ListOp<RoomNid>[];
  /** Windows as they are, where a dialect tells them whole. */
  windows?: readonly { range: Range; rooms: readonly RoomNid[] }[];
}

/** One response before its data is read: decided from memory alone. */
export interface Draft {
  /** Nothing was sent in this life of the connection before. */
  isFirst: boolean;
  /** Everything in view up to here was sent before; what is sent now is in (since, upTo]. */
  since: StreamPos;
  upTo: StreamPos;
  lists: DraftList[];
  rooms: Map<RoomNid, RoomDraft>;
  /** Union over all lists: what moves `timestamp`. Empty = any event. */
  bumpTypes: readonly string[];
  /** Dirty bits consumed by this draft. */
  dirty: ReadonlyMap<RoomNid, number>;
  dirtyUser: number;
  /** Extensions that speak for the first time on this connection. */
  startedExtensions: ReadonlySet<ExtensionName>;
  /** Rooms in view that were looked at for another reason than that something happened. */
  shown?: ReadonlySet<RoomNid>;
}

/** True when the lists or rooms of the draft have something to say. */
export function hasRoomsOrOps(draft: Draft): boolean {
  return draft.rooms.size > 0 || draft.lists.some((list) => list.ops.length > 0);
}
