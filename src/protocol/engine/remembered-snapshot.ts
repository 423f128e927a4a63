import type { RoomNid, StreamPos } from "../ids.ts";
import type { RoomConfig } from "../sticky.ts";

/** What is written down of rooms that are remembered one by one. */
export interface RememberedSnapshot {
  /** The response that was acknowledged last, and where the client was with it. */
  seq: number;
  streamPos: StreamPos;
  /** What was asked for of rooms, which refer to it by index. */
  configs: [timelineLimit: number, requiredState: RoomConfig["requiredState"]][];
  /** Positions are null for what was up to date. */
  rooms: [
    nid: RoomNid,
    config: number,
    upTo: StreamPos | null,
    receiptsUpTo: StreamPos | null,
    accountDataUpTo: StreamPos | null,
  ][];
  /** What became of them with a response that was not acknowledged when this was written. */
  pending?: PendingRooms;
}

/** A response that its client may or may not have, and all that it changes. */
export interface PendingRooms {
  seq: number;
  generation: number;
  rooms: RememberedSnapshot["rooms"];
  gone: RoomNid[];
  extensions: [name: string, sinceSeq: number][];
}
