import type { RoomNid, StreamPos } from "../ids.ts";
import type { Asked } from "./asked.ts";
import type { Engine } from "./engine-api.ts";
import type { RoomHead } from "./room-facts.ts";
import type { SmallMap, SmallSet } from "../../small-collections.ts";

/** A room the client holds, complete up to the connection's stream position. */
export interface SyncedRoom {
  /** The response in which it was last sent whole. */
  sinceSeq: number;
  /** The head as last sent; null when that is not known any more (after a restart). */
  head: RoomHead | null;
  /** Where the timeline that the client has begins; null when that is not known any more (after a restart). */
  timelineFrom: StreamPos | null;
  /** What was asked for of it, as far as the client has been kept up to date with that. */
  asked: Asked;
  /** Members sent because they spoke. */
  lazyMembers: SmallSet<string>;
}

/** An engine that keeps what its client sees up to date, and gives up the rest. */
export interface SyncedEngine extends Engine {
  readonly synced: SmallMap<RoomNid, SyncedRoom>;
}
