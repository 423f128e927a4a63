import type { RoomNid, StreamPos } from "../ids.ts";
import type { RoomConfig } from "../sticky.ts";
import { type HeldRoom, LIVE, UNSENT } from "./held-room.ts";

/** What is written down of rooms that are remembered one by one. */
export interface RememberedSnapshot {
  /** Where the client was. */
  streamPos: StreamPos;
  /** What was asked for of rooms, which refer to it by index. */
  configs: [timelineLimit: number, requiredState: RoomConfig["requiredState"]][];
  /** Positions are null for what was up to date. */
  rooms: [
    nid: RoomNid,
    sinceSeq: number,
    config: number,
    upTo: StreamPos | null,
    receiptsUpTo: StreamPos | null,
    accountDataUpTo: StreamPos | null,
  ][];
}

const stored = (pos: StreamPos): StreamPos | null => (pos === LIVE ? null : pos);

/** The rooms as they are written down. */
export function rememberedSnapshot(
  held: Iterable<readonly [RoomNid, HeldRoom]>,
  streamPos: StreamPos,
): RememberedSnapshot {
  const configs: RememberedSnapshot["configs"] = [];
  const indices = new Map<RoomConfig["requiredState"], Map<number, number>>();
  const rooms: RememberedSnapshot["rooms"] = [];
  for (const [nid, { sinceSeq, timelineLimit, requiredState, upTo, receiptsUpTo, accountDataUpTo }] of held) {
    const byLimit = indices.get(requiredState) ?? new Map<number, number>();
    indices.set(requiredState, byLimit);
    let config = byLimit.get(timelineLimit);
    if (config === undefined) {
      config = configs.push([timelineLimit, requiredState]) - 1;
      byLimit.set(timelineLimit, config);
    }
    rooms.push([nid, sinceSeq, config, stored(upTo), stored(receiptsUpTo), stored(accountDataUpTo)]);
  }
  return { streamPos, configs, rooms };
}

/**
 * Rooms of which a client with this claim provably holds something, and up to where.
 *
 * A room that was up to date since a response no later than the claim's is complete up to the claim's position, unless it fell
 * behind between the claim and the snapshot: either generations are equal and nothing fell behind, or it is complete at
 * least up to where the client was when the snapshot was made. What fell behind before the snapshot says itself how far it is.
 * Snapshots are of what was acknowledged, so nothing in them was ever taken back.
 */
export function provenHeldRooms(
  { generation, remembered }: { generation: number; remembered?: RememberedSnapshot },
  claim: { seq: number; streamPos: StreamPos; generation: number },
): Map<RoomNid, HeldRoom> {
  const proven = new Map<RoomNid, HeldRoom>();
  if (remembered === undefined) return proven;
  const isExact = generation === claim.generation;
  const upTo = (pos: StreamPos | null): StreamPos => {
    if (pos !== null) return Math.min(pos, claim.streamPos);
    return isExact ? LIVE : Math.min(remembered.streamPos, claim.streamPos);
  };
  for (const [nid, sinceSeq, config, events, receipts, accountData] of remembered.rooms) {
    if (sinceSeq > claim.seq) continue;
    const [timelineLimit, requiredState] = remembered.configs[config] ?? [0, []];
    proven.set(nid, {
      ...UNSENT,
      sinceSeq,
      upTo: upTo(events),
      receiptsUpTo: upTo(receipts),
      accountDataUpTo: upTo(accountData),
      timelineLimit,
      requiredState,
    });
  }
  return proven;
}
