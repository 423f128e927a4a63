import type { RoomNid, StreamPos } from "../ids.ts";
import type { OlderEvents, OlderNeed } from "./older-events.ts";
import type { RoomEntry, StateNeed } from "./room-entry.ts";
import type { RoomHead } from "./room-facts.ts";
import type { TimelineNeed } from "./room-timelines.ts";

/** State that changed after a position. */
export interface ChangesNeed {
  nid: RoomNid;
  since: StreamPos;
}

/** The rooms of one draft on their way to entries: what they need, in this order, and what becomes of it. */
export interface Entries {
  /** Heads as sent, for `Engine.noteSent`. */
  readonly heads: ReadonlyMap<RoomNid, RoomHead>;
  timelineNeeds(): TimelineNeed[];
  /** State that will be asked for whatever the timelines hold. */
  earlyStateNeeds(): StateNeed[];
  /** True when more of the timelines is needed: `timelineNeeds` again. */
  cutTimelines(): boolean;
  /** Older events that are wanted and not stored, those of the rooms looked at; the most wanted first. To be asked after `cutTimelines`. */
  olderNeeds(): OlderNeed[];
  /** Puts what was found of these before the timelines. */
  addOlder(found: ReadonlyMap<RoomNid, OlderEvents>): void;
  /** Rooms whose changed state is not all in their timelines. */
  changesNeeds(): ChangesNeed[];
  stateNeeds(): StateNeed[];
  timelineIds(nid: RoomNid): ReadonlySet<string>;
  build(): RoomEntry[];
  /** Remembers whom the client has heard of; call when the response is made. */
  noteMembers(): void;
}
