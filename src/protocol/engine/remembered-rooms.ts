import type { RoomNid, StreamPos } from "../ids.ts";
import { sameRequiredState } from "../required-state.ts";
import type { RoomConfig } from "../sticky.ts";
import type { RoomDraft } from "./draft.ts";
import { type HeldRoom, LIVE } from "./held-room.ts";
import type { RememberingOptions } from "./remembering-api.ts";
import { isSelfLeft } from "./simplified-rooms.ts";
import { DIRTY, type World } from "./world.ts";

/** Bits after which a room's entry may say something new. */
export const NEWS = DIRTY.event | DIRTY.counts | DIRTY.standing | DIRTY.reset | DIRTY.place;

/** A room in view, and what of it may have to be told. */
export interface RoomInView {
  nid: RoomNid;
  bits: number;
  upTo: StreamPos;
  /** How far the client has it, if it has all of it. */
  since: StreamPos;
  /** What the client has of it; null = nothing. */
  held: HeldRoom | null;
}

/** What is asked for of rooms. */
export interface Asking {
  readonly options: RememberingOptions;
  configOf(nid: RoomNid): RoomConfig;
}

/** What is in the response of a room in view; null = nothing can be new. */
export function decideRoom(
  world: World,
  { nid, bits, upTo, since: sinceLive, held }: RoomInView,
  asking: Asking,
): RoomDraft | null {
  const standing = world.standing(nid);
  const meta = world.meta(nid);
  if (standing === undefined || meta === undefined) return null;
  const heldFrom = world.heldFrom(nid);
  const since = held === null ? 0 : Math.min(held.upTo, sinceLive);
  const config = asking.configOf(nid);
  const isNewlyJoined = standing.membership === "join" && standing.joinPos > since;
  const isUnseen = held === null || held.upTo < 0;
  // State vanished that the client was to be told of, and it is not known any more what.
  const hasLostTrack = asking.options.tellsAll && (meta.vanishedUpTo ?? 0) > since;
  const kind = isUnseen || isNewlyJoined || hasLostTrack ? "initial" : "delta";
  const isExpanded = !isUnseen && config.timelineLimit > held.timelineLimit;
  const isGrown = !isUnseen && !sameRequiredState(held.requiredState, config.requiredState);
  if (kind === "delta" && held?.upTo === LIVE && (bits & NEWS) === 0 && !isExpanded && !isGrown) return null;
  const roomUpTo = heldFrom === null ? upTo : Math.min(upTo, heldFrom - 1);
  return {
    nid,
    kind,
    config,
    since,
    upTo: kind === "delta" ? Math.max(since, roomUpTo) : roomUpTo,
    withTimeline: true,
    withState: kind === "initial",
    isAsked: false,
    held,
    isExpanded: kind === "delta" && isExpanded,
    isGrown: kind === "delta" && isGrown,
    selfLeft: isSelfLeft(standing),
  };
}

/** What a response does not tell of a room that the client holds. */
export interface Untold {
  /** Bits after which there may be something to tell; that a room is direct is told by one form alone. */
  news: number;
  /** Where the client is. */
  live: StreamPos;
  /** Where it is in the room itself, of which nothing is told; null = the room is in view. */
  room: StreamPos | null;
  isTold: (name: "receipts" | "account_data") => boolean;
}

/** What the client holds of a room when this is not told: what was live stays behind where it was. */
export function leftBehind(held: HeldRoom, bits: number, { news, live, room, isTold }: Untold): HeldRoom {
  const isMissed = room !== null && held.upTo === LIVE && (bits & news) !== 0;
  const leftAt = (name: "receipts" | "account_data", bit: number, upTo: StreamPos): StreamPos =>
    upTo === LIVE && (bits & bit) !== 0 && !isTold(name) ? live : upTo;
  const upTo = isMissed ? room : held.upTo;
  const receiptsUpTo = leftAt("receipts", DIRTY.receipt, held.receiptsUpTo);
  const accountDataUpTo = leftAt("account_data", DIRTY.accountData, held.accountDataUpTo);
  const isSame = upTo === held.upTo && receiptsUpTo === held.receiptsUpTo && accountDataUpTo === held.accountDataUpTo;
  return isSame ? held : { ...held, upTo, receiptsUpTo, accountDataUpTo };
}
