import type { StreamPos } from "#src/protocol/ids.ts";
import type { Packed } from "#src/protocol/packed.ts";
import type { Asked } from "#actors/runtime/actor.ts";

/** A sync host's front for committed updates; answered when every user and connection of the host has taken them in. */
export type DirectoryMessage = Asked<{ type: "apply-updates"; packed: Packed }, { pos: StreamPos }>;

/** To itself: somebody has not taken a commit in for too long. */
export interface DirectoryEvent {
  type: "apply-limit";
  answer: () => void;
}
