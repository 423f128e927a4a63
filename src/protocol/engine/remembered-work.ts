import type { StoredEvent } from "../events.ts";
import type { StreamPos } from "../ids.ts";
import type { StateSelection } from "../required-state.ts";
import type { UserRoom } from "../room-meta.ts";
import type { Draft, RoomDraft } from "./draft.ts";
import { LIVE } from "./held-room.ts";
import type { Remembering } from "./remembering-api.ts";
import type { RoomData } from "./room-data.ts";
import type { RoomHead } from "./room-facts.ts";
import { isStripped } from "./simplified-rooms.ts";
import { MAX_SIMPLIFIED_TIMELINE, type NewestCut } from "./simplified-timeline.ts";
import { DIRTY, type World } from "./world.ts";

/** What the entries of one response are made of. */
export interface Making {
  readonly world: World;
  readonly engine: Remembering;
  readonly draft: Draft;
  readonly data: RoomData;
}

/** What is being made of one room. */
export interface Work {
  readonly room: RoomDraft;
  readonly standing: UserRoom;
  readonly selection: StateSelection;
  /** Head as it was when the response was decided. */
  readonly head: RoomHead;
  /** What of the room may be told ends here. */
  readonly upTo: StreamPos;
  cut: NewestCut | null;
  /** Current state that changed since the client's position. */
  changes: readonly StoredEvent[];
  members: Set<string>;
  /** Lazily loaded members that the client has with this response. */
  known: ReadonlySet<string>;
}

/** The user is or was inside: what the room was until they left is theirs to see. */
export const showsState = ({ membership, joinPos }: UserRoom): boolean => !isStripped(membership) && joinPos > 0;

/** How many events are asked for, as far as they are sent. */
export const limitOf = (room: RoomDraft): number =>
  Math.max(0, Math.min(room.config.timelineLimit, MAX_SIMPLIFIED_TIMELINE));

/** Why the room is looked at. */
export function bitsOf(making: Making, { nid }: RoomDraft): number {
  return making.draft.dirty.get(nid) ?? 0;
}

/** Something may have happened in the room since the client's position. */
export function hasNews(making: Making, room: RoomDraft): boolean {
  const { nid, since, held } = room;
  const standing = making.world.standing(nid);
  // Whatever happens there, it is nothing to who is not in the room.
  if (standing?.membership !== "join") return (standing?.memberPos ?? 0) > since;
  const bits = bitsOf(making, room);
  if ((bits & (DIRTY.event | DIRTY.standing | DIRTY.reset)) !== 0) return true;
  if (held?.upTo === LIVE) return false;
  return Math.max(making.world.meta(nid)?.latestPos ?? 0, making.world.meta(nid)?.resetPos ?? 0) > since;
}

/** All that changed state since the client's position is in the timeline at hand. */
export function isInTimeline(making: Making, room: RoomDraft): boolean {
  const { nid, since } = room;
  const meta = making.world.meta(nid);
  const isReset = (bitsOf(making, room) & DIRTY.reset) !== 0;
  return !isReset && (meta?.resetPos ?? 0) <= since && making.data.tail(nid).coversFrom <= since;
}
