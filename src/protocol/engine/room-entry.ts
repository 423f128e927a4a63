import type { Membership } from "../events.ts";
import type { RoomNid } from "../ids.ts";
import type { StateSelection } from "../required-state.ts";
import type { Hero } from "../room-meta.ts";

/** One entry of `rooms`, ready to be written. Undefined = the key is left out. */
export interface RoomEntry {
  nid: RoomNid;
  roomId: string;
  isInitial: boolean;
  name?: string;
  heroes?: readonly Hero[];
  /** null is written as `null`. */
  avatar?: string | null;
  isDm: boolean;
  requiredState: Uint8Array[];
  timeline: Uint8Array[];
  inviteState?: Uint8Array;
  joinedCount?: number;
  invitedCount?: number;
  notificationCount: number;
  highlightCount: number;
  prevBatch: string | null;
  isLimited?: boolean;
  numLive: number;
  timestamp: number;
  /** Of dialects that remember rooms one by one. */
  bumpStamp?: number;
  isExpanded?: boolean;
  /** `isDm` changed. */
  isDmTold?: boolean;
  membership?: Membership;
  /** Lists that hold the room. */
  lists?: readonly string[];
}

/** What a response's rooms need of storage before they can be written. */
export interface StateNeed {
  nid: RoomNid;
  selection: StateSelection | null;
  members: readonly string[];
  /** Every member of the room is wanted in memory. */
  allMembers?: boolean;
}
