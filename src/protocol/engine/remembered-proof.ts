import type { RoomNid, StreamPos } from "../ids.ts";
import type { RoomConfig } from "../sticky.ts";
import { type HeldRoom, LIVE, UNSENT } from "./held-room.ts";

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
}

const stored = (pos: StreamPos): StreamPos | null => (pos === LIVE ? null : pos);

/** The rooms as they are written down. */
export function rememberedSnapshot(
  held: Iterable<readonly [RoomNid, HeldRoom]>,
  { seq, streamPos }: { seq: number; streamPos: StreamPos },
): RememberedSnapshot {
  const configs: RememberedSnapshot["configs"] = [];
  const indices = new Map<RoomConfig["requiredState"], Map<number, number>>();
  const rooms: RememberedSnapshot["rooms"] = [];
  for (const [nid, { timelineLimit, requiredState, upTo, receiptsUpTo, accountDataUpTo }] of held) {
    const byLimit = indices.get(requiredState) ?? new Map<number, number>();
    indices.set(requiredState, byLimit);
    let config = byLimit.get(timelineLimit);
    if (config === undefined) {
      config = configs.push([timelineLimit, requiredState]) - 1;
      byLimit.set(timelineLimit, config);
    }
    rooms.push([nid, config, stored(upTo), stored(receiptsUpTo), stored(accountDataUpTo)]);
  }
  return { seq, streamPos, configs, rooms };
}

/**
 * Rooms of which a client with this claim provably holds something, and up to where.
 *
 * Snapshots are of what was acknowledged: nothing in them was ever taken back, and a claim from before proves nothing. A room that
 * was up to date is so at the claim as well if nothing fell behind in between, which equal generations prove; otherwise it
 * is complete at least up to where the client was when the snapshot was made. What had fallen behind says itself how far it is.
 */
export function provenHeldRooms(
  { generation, remembered }: { generation: number; remembered?: RememberedSnapshot },
  claim: { seq: number; streamPos: StreamPos; generation: number },
): Map<RoomNid, HeldRoom> {
  const proven = new Map<RoomNid, HeldRoom>();
  if (remembered === undefined || claim.seq < remembered.seq) return proven;
  const isExact = generation === claim.generation;
  const upTo = (pos: StreamPos | null): StreamPos => {
    if (pos !== null) return Math.min(pos, claim.streamPos);
    return isExact ? LIVE : Math.min(remembered.streamPos, claim.streamPos);
  };
  for (const [nid, config, events, receipts, accountData] of remembered.rooms) {
    const [timelineLimit, requiredState] = remembered.configs[config] ?? [0, []];
    proven.set(nid, {
      ...UNSENT,
      upTo: upTo(events),
      receiptsUpTo: upTo(receipts),
      accountDataUpTo: upTo(accountData),
      timelineLimit,
      requiredState,
    });
  }
  return proven;
}
