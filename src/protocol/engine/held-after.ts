import type { RoomDraft } from "./draft.ts";
import { type HeldRoom, LIVE } from "./held-room.ts";
import type { RoomHead } from "./room-facts.ts";
import type { StateUnions } from "./state-unions.ts";

/** What the client holds of a room once it was sent this. */
export function heldAfter(
  before: HeldRoom,
  room: RoomDraft,
  head: RoomHead | null,
  unions: Pick<StateUnions, "remembered" | "without">,
): HeldRoom {
  const { kind, config, forgetsState, forgetsTimeline } = room;
  const isInitial = kind === "initial";
  const kept = forgetsState === undefined ? before.requiredState : unions.without(before.requiredState, forgetsState);
  return {
    ...before,
    upTo: LIVE,
    head,
    timelineLimit:
      isInitial || forgetsTimeline === true
        ? config.timelineLimit
        : Math.max(before.timelineLimit, config.timelineLimit),
    requiredState: isInitial ? config.requiredState : unions.remembered(kept, config.requiredState),
  };
}
