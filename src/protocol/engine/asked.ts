import { selectsAll, uniteSelections } from "../required-state.ts";
import type { RoomConfig } from "../sticky.ts";
import type { RoomDraft } from "./draft.ts";

/** What of a room was asked for. */
export type Asked = Pick<RoomConfig, "timelineLimit" | "requiredState">;

/** Nothing. */
export const NOTHING_ASKED: Asked = { timelineLimit: 0, requiredState: [] };

/** True when whoever was sent the one lacks nothing of the other. */
export const covers = (asked: Asked, other: Asked): boolean =>
  asked.timelineLimit >= other.timelineLimit && selectsAll(asked.requiredState, other.requiredState);

/** What a client has been asked for of a room once it is sent some parts of it, as far as it is `wanted` from then on. */
export function askedAfter(
  { timelineLimit, requiredState }: Asked,
  { kind, config, withTimeline, withState }: Pick<RoomDraft, "kind" | "config" | "withTimeline" | "withState">,
  wanted: Asked,
): Asked {
  const isWhole = kind === "initial";
  const limit = isWhole && withTimeline ? Math.max(timelineLimit, config.timelineLimit) : timelineLimit;
  const state = isWhole && withState ? uniteSelections(requiredState, config.requiredState) : requiredState;
  return {
    timelineLimit: Math.min(limit, wanted.timelineLimit),
    requiredState: selectsAll(state, wanted.requiredState) ? wanted.requiredState : state,
  };
}

/** What was asked for and what a subscription asks for, both served. */
export const servedBeside = (asked: Asked, subscription: RoomConfig): Asked => ({
  timelineLimit: Math.max(asked.timelineLimit, subscription.timelineLimit),
  requiredState: uniteSelections(asked.requiredState, subscription.requiredState),
});
