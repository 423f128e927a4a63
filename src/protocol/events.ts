import type { EventId, RoomNid, StreamPos } from "./ids.ts";
import type { Stickiness } from "./sticky-events.ts";

/** Membership states of the Matrix specification, in the order of their stored codes (1…5; 0 = none). */
export const MEMBERSHIPS = ["join", "invite", "leave", "ban", "knock"] as const;
export type Membership = (typeof MEMBERSHIPS)[number];

/**
 * What we extract from one event; everything else stays inside `json`.
 * `B` is how bytes are held: a `Uint8Array` inside a host, a `ByteRef` inside a packed message.
 */
export interface EventFields<B = Uint8Array> {
  id: EventId;
  type: string;
  /** null for events that are not state. */
  stateKey: string | null;
  sender: string;
  /** `origin_server_ts` in ms; 0 when missing or not a number. */
  ts: number;
  /** `content.membership` of `m.room.member`; null otherwise. */
  membership: Membership | null;
  /** `unsigned.prev_content.membership` of `m.room.member`; null otherwise. */
  prevMembership: Membership | null;
  /** Target of an `m.room.redaction` (top level, else `content.redacts`). */
  redacts: string | null;
  /** `unsigned.replaces_state`. */
  replacesState: string | null;
  /** `unsigned.transaction_id`, which belongs to the polling device alone and is cut out of `json`. */
  txnId: string | null;
  /** Set for a sticky event (MSC4354). */
  sticky?: Stickiness;
  /** Exactly the bytes of the homeserver, less the `unsigned` members that belong to one user or one moment. */
  json: B;
}

/** Where a byte string lies in the `bytes` of a packed message. */
export type ByteRef = [offset: number, length: number];

/** A JSON object that travels as bytes beside the one string it is keyed by (account data, ephemeral events). */
export interface TypedJson<B = Uint8Array> {
  type: string;
  json: B;
}

/** An event with its place in the stream. */
export interface StoredEvent<B = Uint8Array> extends EventFields<B> {
  nid: RoomNid;
  pos: StreamPos;
  /** False for events that arrived in a state block: they are never part of a timeline. */
  inTimeline: boolean;
  /** True when events are missing directly before this one. */
  gapBefore: boolean;
  /** Homeserver token that pages back from just before this event; null where none is known. */
  prevBatch: string | null;
}
