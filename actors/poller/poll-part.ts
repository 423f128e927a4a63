import { FAIL } from "#src/homeserver/slicer.ts";
import type { SyncOutline } from "#src/homeserver/sync-v2.ts";

/** What of a poll's answer is taken. */
export type PollPart =
  | "all"
  /** The device's own data, from `since` on. */
  | "device"
  /** The user's rooms as they are, beside the `since` of the device's own data. */
  | "rooms";

/**
 * A part of an answer. With rooms, to-device messages come once more, and device lists not at all: both are told from one
 * `since` to the next, so they are left to the polls that go on from the `since` at hand.
 */
export function partOf(outline: SyncOutline, part: PollPart, since: string | null): SyncOutline {
  switch (part) {
    case "all":
      return outline;
    case "device":
      return { ...outline, rooms: [] };
    case "rooms":
      return {
        ...outline,
        nextBatch: since ?? "",
        toDevice: FAIL,
        deviceLists: FAIL,
        otkCounts: FAIL,
        fallbackKeyTypes: FAIL,
      };
  }
}
