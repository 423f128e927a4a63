import type { RoomDraft } from "./draft.ts";
import { type HeldRoom, LIVE } from "./held-room.ts";
import type { RoomHead } from "./room-facts.ts";
import type { StateUnions } from "./state-unions.ts";

/** What the client holds of a room once it was sent this. */
export function heldAfter(
  before: HeldRoom,
  room: RoomDraft,
  head: RoomHead | null,
  unions: Pick<StateUnions, "remembered">,
): HeldRoom {
  const { kind, config, forgetsState, forgetsTimeline } = room;
  const isInitial = kind === "initial";
  return {
    ...before,
    upTo: LIVE,
    head,
    timelineLimit:
      isInitial || forgetsTimeline === true
        ? config.timelineLimit
        : Math.max(before.timelineLimit, config.timelineLimit),
    requiredState:
      isInitial || forgetsState === true
        ? config.requiredState
        : unions.remembered(before.requiredState, config.requiredState),
  };
}
