import type { RoomNid, StreamPos } from "../ids.ts";
import { sameRequiredState } from "../required-state.ts";
import type { RoomConfig } from "../sticky.ts";
import { type Asked, NOTHING_ASKED } from "./asked.ts";
import type { RememberedSnapshot } from "./remembered-snapshot.ts";

/**
 * What a connection has written down of the rooms its client holds. Written behind, so it may be older or newer
 * than the `pos` a client comes back with; `provenRooms` decides what the two together prove.
 */
export interface CursorSnapshot {
  /** Raised whenever a room stops being kept up to date: see `provenRooms`. */
  generation: number;
  /** The claim from which the connection was taken up in this life; its client may come back with it once more. */
  takenUpFrom?: [seq: number, generation: number];
  /** Room, the response in which it was last sent whole, and what was asked for of it as an index into `asked`. */
  rooms: [nid: RoomNid, sinceSeq: number, asked?: number][];
  asked?: [timelineLimit: number, requiredState: RoomConfig["requiredState"]][];
  /** Extensions that have sent their initial data, with that response. */
  extensions: [name: string, sinceSeq: number][];
  /** Of a connection that remembers of every room how far it is. */
  remembered?: RememberedSnapshot;
}

export const EMPTY_SNAPSHOT: CursorSnapshot = { generation: 0, rooms: [], extensions: [] };

/** What a valid `pos` says about this connection. */
export interface Claim {
  seq: number;
  streamPos: StreamPos;
  generation: number;
}

/** A room as a snapshot proves it. */
export interface ProvenRoom {
  sinceSeq: number;
  asked: Asked;
}

/** The rooms of a snapshot: most of them were asked for alike. */
export function roomsSnapshot(
  synced: Iterable<readonly [RoomNid, ProvenRoom]>,
): Required<Pick<CursorSnapshot, "rooms" | "asked">> {
  const all: Asked[] = [];
  const rooms: CursorSnapshot["rooms"] = [];
  for (const [nid, { sinceSeq, asked }] of synced) {
    let index = all.findIndex((other) => isSameAsked(other, asked));
    if (index === -1) index = all.push(asked) - 1;
    rooms.push([nid, sinceSeq, index]);
  }
  return { rooms, asked: all.map(({ timelineLimit, requiredState }) => [timelineLimit, requiredState]) };
}

const isSameAsked = (a: Asked, b: Asked): boolean =>
  a === b || (a.timelineLimit === b.timelineLimit && sameRequiredState(a.requiredState, b.requiredState));

/**
 * Rooms of which the client provably holds everything up to the claim's stream position.
 *
 * A room that was sent whole no later than response `seq` has been kept up to date in every response since,
 * unless it was given up in between. Giving up any room, or some of what was asked for of it, raises the generation, so a
 * snapshot of no lower a generation than the claim's is complete up to the claim: what is in it, of rooms sent whole by then, was
 * not given up before, and what was given up later is not in it.
 */
export function provenRooms(snapshot: CursorSnapshot, claim: Claim): Map<RoomNid, ProvenRoom> {
  const proven = new Map<RoomNid, ProvenRoom>();
  if (!isNoOlder(snapshot, claim)) return proven;
  const all = (snapshot.asked ?? []).map(([timelineLimit, requiredState]): Asked => ({ timelineLimit, requiredState }));
  for (const [nid, sinceSeq, index = -1] of snapshot.rooms) {
    if (sinceSeq <= claim.seq) proven.set(nid, { sinceSeq, asked: all[index] ?? NOTHING_ASKED });
  }
  return proven;
}

function isNoOlder({ generation, takenUpFrom }: CursorSnapshot, claim: Claim): boolean {
  if (lifeOf(generation) === lifeOf(claim.generation)) return generation >= claim.generation;
  return takenUpFrom?.[0] === claim.seq && takenUpFrom[1] === claim.generation;
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
