import type { Rig } from "./rig.ts";
import type { Topology } from "./topology.ts";

/** Figures by the names of `targets.ts`; further ones are shown without a target. */
export type Figures = Readonly<Record<string, number>>;

/** One kind of load and what is measured under it. */
export type Workload = {
  readonly name: string;
  /** Quick runs are for trying the bench itself: their figures say little. */
  topology(isQuick: boolean): Topology;
  run(rig: Rig): Promise<Figures>;
};
