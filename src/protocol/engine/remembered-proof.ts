import type { RoomNid, StreamPos } from "../ids.ts";
import type { RoomConfig } from "../sticky.ts";
import { type HeldRoom, LIVE, UNSENT } from "./held-room.ts";
import type { PendingRooms, RememberedSnapshot } from "./remembered-snapshot.ts";
import { type Claim, type CursorSnapshot, provenExtensions } from "./proof.ts";

/** What a response that is not acknowledged changes; rooms are null where they are held no more. */
export interface Pending extends Pick<PendingRooms, "seq" | "generation" | "extensions"> {
  rooms: Iterable<readonly [RoomNid, HeldRoom | null]>;
}

const stored = (pos: StreamPos): StreamPos | null => (pos === LIVE ? null : pos);

/** The rooms as they are written down. */
export function rememberedSnapshot(
  held: Iterable<readonly [RoomNid, HeldRoom]>,
  { seq, streamPos }: { seq: number; streamPos: StreamPos },
  pending: Pending | null = null,
): RememberedSnapshot {
  const configs: RememberedSnapshot["configs"] = [];
  const indices = new Map<RoomConfig["requiredState"], Map<number, number>>();
  const write = (nid: RoomNid, room: HeldRoom): RememberedSnapshot["rooms"][number] => {
    const { timelineLimit, requiredState, upTo, receiptsUpTo, accountDataUpTo } = room;
    const byLimit = indices.get(requiredState) ?? new Map<number, number>();
    indices.set(requiredState, byLimit);
    let config = byLimit.get(timelineLimit);
    if (config === undefined) {
      config = configs.push([timelineLimit, requiredState]) - 1;
      byLimit.set(timelineLimit, config);
    }
    return [nid, config, stored(upTo), stored(receiptsUpTo), stored(accountDataUpTo)];
  };
  const rooms = Array.from(held, ([nid, room]) => write(nid, room));
  if (pending === null) return { seq, streamPos, configs, rooms };
  const changed: PendingRooms = { ...pending, rooms: [], gone: [] };
  for (const [nid, room] of pending.rooms) {
    if (room === null) changed.gone.push(nid);
    else changed.rooms.push(write(nid, room));
  }
  return { seq, streamPos, configs, rooms, pending: changed };
}

/**
 * Rooms of which a client with this claim provably holds something, and up to where.
 *
 * Snapshots are of what was acknowledged: nothing in them was ever taken back, and a claim from before proves nothing. A room that
 * was up to date is so at the claim as well if nothing fell behind in between, which equal generations prove; otherwise it
 * is complete at least up to where the client was when the snapshot was made. What had fallen behind says itself how far it is.
 *
 * What was pending was acknowledged since if the claim is of that response, or of a later one of the same generation: taking
 * anything back raises it.
 */
export function provenHeldRooms(
  { generation, remembered }: { generation: number; remembered?: RememberedSnapshot },
  claim: Claim,
): Map<RoomNid, HeldRoom> {
  const proven = new Map<RoomNid, HeldRoom>();
  if (remembered === undefined || claim.seq < remembered.seq) return proven;
  const pending = arrived(remembered.pending, claim);
  const isExact = pending !== null || generation === claim.generation;
  const upTo = (pos: StreamPos | null): StreamPos => {
    if (pos !== null) return Math.min(pos, claim.streamPos);
    return isExact ? LIVE : Math.min(remembered.streamPos, claim.streamPos);
  };
  for (const [nid, config, events, receipts, accountData] of [...remembered.rooms, ...(pending?.rooms ?? [])]) {
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
  for (const nid of pending?.gone ?? []) proven.delete(nid);
  return proven;
}

/** Extensions whose initial data a client with this claim provably has. */
export function provenHeldExtensions(snapshot: CursorSnapshot, claim: Claim): Map<string, number> {
  const pending = arrived(snapshot.remembered?.pending, claim);
  return provenExtensions(pending === null ? snapshot : { ...snapshot, extensions: pending.extensions }, claim);
}

/** What was pending, if the client has it. */
function arrived(pending: PendingRooms | undefined, { seq, generation }: Claim): PendingRooms | null {
  return pending !== undefined && seq >= pending.seq && generation === pending.generation ? pending : null;
}
