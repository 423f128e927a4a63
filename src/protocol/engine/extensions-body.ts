import type { RoomNid, StreamPos } from "../ids.ts";
import type { TimelineNeed } from "./room-timelines.ts";

/** A device's own data as stored. */
export interface DeviceData {
  otkCounts: string | null;
  fallbackKeyTypes: string | null;
  /** Positions of their last changes. */
  otkCountsPos: StreamPos;
  fallbackKeyTypesPos: StreamPos;
  /** Undelivered changes, oldest first, one for each target. */
  deviceLists: readonly { target: string; change: "changed" | "left"; pos: StreamPos }[];
  /** Of the changes, those after this are told to a client that has been told none. */
  deviceListsAfter: StreamPos;
  /** Where the client goes on with to-device messages once it has these. */
  nextBatch: string;
  /** Messages the client does not have, already limited. */
  toDevice: readonly Uint8Array[];
}

/** Sticky events by room id, and where the client goes on once it has them. */
export interface StickyBody {
  nextBatch: string;
  rooms: Map<string, Uint8Array[]>;
}

/** The `extensions` of one response; undefined = the key is left out. */
export interface ExtensionsBody {
  toDevice?: { nextBatch: string; events: Uint8Array[] };
  e2ee?: {
    otkCounts: string | null;
    fallbackKeyTypes: string | null;
    lists: { changed: string[]; left: string[] } | null;
  };
  accountData?: { global: Uint8Array[]; rooms: Map<string, Uint8Array[]> };
  /** Room id → `m.receipt` event as JSON text. */
  receipts?: Map<string, string>;
  typing?: Map<string, Uint8Array>;
  sticky?: StickyBody;
  /** Names that were used instead of their own. */
  names?: Readonly<Record<string, string>>;
}

/** The rooms of a response. */
export interface SentRooms {
  nids: readonly RoomNid[];
  /** Ids of the timeline events sent of a room. */
  timelineIds(nid: RoomNid): ReadonlySet<string>;
}

/** What has to be in memory before extensions can speak: of rooms, 0 = global. */
export interface ExtensionNeeds {
  /** Timelines that were sent before, for what receipts say of them. */
  timelines?: TimelineNeed[];
  receipts: RoomNid[];
  accountData: (RoomNid | 0)[];
}
