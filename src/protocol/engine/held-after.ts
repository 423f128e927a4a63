import { sameRequiredState } from "../required-state.ts";
import type { RoomConfig } from "../sticky.ts";
import type { RoomDraft } from "./draft.ts";
import { type HeldRoom, LIVE } from "./held-room.ts";
import type { RoomHead } from "./room-facts.ts";

/** What the client holds of a room once it was sent this. */
export function heldAfter(before: HeldRoom, room: RoomDraft, head: RoomHead | null): HeldRoom {
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
        : joinedState(before.requiredState, config.requiredState),
  };
}

/** More remembered keys than this are forgotten: they are sent again when they are asked for again. */
const MAX_REMEMBERED_STATE = 300;

/** What was asked for and is still known to the client stays known. */
function joinedState(
  known: RoomConfig["requiredState"],
  asked: RoomConfig["requiredState"],
): RoomConfig["requiredState"] {
  if (known === asked || sameRequiredState(known, asked)) return asked;
  const seen = new Set(asked.map((tuple) => JSON.stringify(tuple)));
  const more = known.filter((tuple) => !seen.has(JSON.stringify(tuple)));
  return more.length === 0 || asked.length + more.length > MAX_REMEMBERED_STATE ? asked : [...asked, ...more];
}
