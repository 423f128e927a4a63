import type { StreamPos } from "#src/protocol/ids.ts";
import type { Packed } from "#src/protocol/packed.ts";
import type { Asked } from "#actors/runtime/actor.ts";

/** A sync host's front for committed updates; answered when every user actor of the host has them in its mailbox. */
export type DirectoryMessage = Asked<{ type: "apply-updates"; packed: Packed }, { pos: StreamPos }>;
