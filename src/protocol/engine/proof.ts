import type { RoomNid, StreamPos } from "../ids.ts";
import type { RememberedSnapshot } from "./remembered-proof.ts";

/**
 * What a connection has written down of the rooms its client holds. Written behind, so it may be older or newer
 * than the `pos` a client comes back with; `provenRooms` decides what the two together prove.
 */
export interface CursorSnapshot {
  /** Raised whenever a room stops being kept up to date: see `provenRooms`. */
  generation: number;
  /** Room and the response in which it was last sent whole. */
  rooms: [nid: RoomNid, sinceSeq: number][];
  /** Extensions that have sent their initial data, with that response. */
  extensions: [name: string, sinceSeq: number][];
  /** Of a connection that remembers of every room how far it is. */
  remembered?: RememberedSnapshot;
}

export const EMPTY_SNAPSHOT: CursorSnapshot = { generation: 0, rooms: [], extensions: [] };

/** What a valid `pos` says about this connection. */
interface Claim {
  seq: number;
  streamPos: StreamPos;
  generation: number;
}

/**
 * Rooms of which the client provably holds everything up to the claim's stream position.
 *
 * A room that was sent whole no later than response `seq` has been kept up to date in every response since,
 * unless it was given up in between. Giving up any room raises the generation, so equal generations mean that no
 * room was given up between the snapshot and the claim, whichever is older.
 */
export function provenRooms(snapshot: CursorSnapshot, claim: Claim): Map<RoomNid, number> {
  if (snapshot.generation !== claim.generation) return new Map();
  return new Map(snapshot.rooms.filter(([, sinceSeq]) => sinceSeq <= claim.seq));
}

/** Extensions whose initial data the client provably has. */
export function provenExtensions(snapshot: CursorSnapshot, claim: Claim): Map<string, number> {
  return new Map(snapshot.extensions.filter(([, sinceSeq]) => sinceSeq <= claim.seq));
}

/** How many generations one life has room for. */
const GENERATIONS_PER_LIFE = 2 ** 20;
const LIVES = 2 ** 32;

/** First generation of a new life of a connection's memory; `random` is uniform in [0, 1). */
export const newLife = (random: number): number => Math.floor(random * LIVES) * GENERATIONS_PER_LIFE;

/** Which life a generation belongs to: a `pos` of another life says nothing about this memory. */
export const lifeOf = (generation: number): number => Math.floor(generation / GENERATIONS_PER_LIFE);
