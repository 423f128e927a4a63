import type { RepairReader } from "#src/ports/repair.ts";
import type { RoomId, UserId } from "#src/protocol/ids.ts";
import type { CompareDeps } from "./compare-room.ts";

/** Every active user is looked at about once in this time … */
const ROUND_MS = 24 * 3_600_000;
/** … but never faster than this, however many there are, nor slower. */
const SHORTEST_STEP_MS = 1000;
const LONGEST_STEP_MS = 15 * 60_000;

/** Users are walked that had a client within this time. */
export const ACTIVE_WITHIN_MS = 7 * 24 * 3_600_000;

/** What the homeserver and we disagree on. */
export interface Walked {
  userId: UserId;
  /** Rooms that only we, and that only the homeserver has the user in. */
  onlyOurs: RoomId[];
  onlyTheirs: RoomId[];
  /** The homeserver asks for patience; 0 = it does not. */
  retryAfterMs: number;
}

/** The pause before the next user. */
export const stepMs = (userCount: number): number =>
  Math.min(LONGEST_STEP_MS, Math.max(SHORTEST_STEP_MS, Math.floor(ROUND_MS / Math.max(userCount, 1))));

/** Compares the rooms that a user is in. */
export async function walkUser(deps: CompareDeps, reader: RepairReader): Promise<Walked> {
  const { userId, deviceId } = reader;
  const nothing = { userId, onlyOurs: [], onlyTheirs: [], retryAfterMs: 0 };
  const accessToken = (await deps.devices.loadDevice(userId, deviceId))?.accessToken ?? null;
  if (accessToken === null) return nothing;
  const ours = await deps.store.joinedRooms(userId);
  const theirs = await deps.homeserver.joinedRooms(accessToken);
  if (!theirs.ok) {
    return { ...nothing, retryAfterMs: theirs.failure.kind === "transient" ? theirs.failure.retryAfterMs : 0 };
  }
  // What was joined or left in between shows up as well; comparing the room tells.
  const [ourSet, theirSet] = [new Set(ours), new Set(theirs.value)];
  return {
    userId,
    onlyOurs: ours.filter((roomId) => !theirSet.has(roomId)),
    onlyTheirs: theirs.value.filter((roomId) => !ourSet.has(roomId)),
    retryAfterMs: 0,
  };
}
