import { readMessages } from "#src/homeserver/messages-reader.ts";
import type { Homeserver } from "#src/ports/homeserver.ts";
import type { RoomId } from "#src/protocol/ids.ts";
import { type Packed, packEvents } from "#src/protocol/packed.ts";
import type { Reply } from "#actors/runtime/actor.ts";

/** A part of a room's history that the homeserver is asked for. */
export interface HistoryQuery {
  roomId: RoomId;
  /** Events from before this token, so many at most. */
  from: string;
  limit: number;
  deadlineMs: number;
}

/** What the homeserver has of it, or why there is nothing to go by. */
export type HistoryAnswer =
  /** See `OlderEvents`. */
  | { kind: "read"; events: Packed; prevBatch: string | null; hasMore: boolean }
  /** Nobody may ask for the device now: there is no token, or the homeserver is left in peace. */
  | { kind: "unavailable" }
  /** It is not for this user. */
  | { kind: "refused" }
  | { kind: "failed"; retryAfterMs: number };

/** Answers whoever asked; the events' memory goes with it. */
export function answerHistory(reply: Reply<HistoryAnswer>, answer: HistoryAnswer): void {
  reply.resolve(answer, answer.kind === "read" ? [answer.events.bytes.buffer] : []);
}

/** Asks the homeserver; never rejects but for a bug. */
export async function readHistory(
  homeserver: Pick<Homeserver, "roomMessages">,
  accessToken: string,
  { roomId, ...page }: HistoryQuery,
): Promise<HistoryAnswer> {
  const answer = await homeserver.roomMessages(accessToken, roomId, page);
  if (!answer.ok) {
    const { failure } = answer;
    if (failure.kind === "refused") return { kind: "refused" };
    // A dead token is found out by the next poll.
    return { kind: "failed", retryAfterMs: failure.kind === "transient" ? failure.retryAfterMs : 0 };
  }
  const read = readMessages(answer.value, page.from, page.limit);
  // What cannot be read today will be no better in a moment.
  if (typeof read === "string") return { kind: "refused" };
  return { kind: "read", events: packEvents(read.events), prevBatch: read.prevBatch, hasMore: read.hasMore };
}
