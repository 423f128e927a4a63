import { readMessages } from "#src/homeserver/messages-reader.ts";
import type { Homeserver } from "#src/ports/homeserver.ts";
import { packEvents } from "#src/protocol/packed.ts";
import type { ActorContext, Reply } from "#actors/runtime/actor.ts";
import type { HistoryAnswer, HistoryQuery, PollerMessage } from "./messages.ts";

/** Answers whoever asked; the events' memory goes with it. */
export function answerHistory(reply: Reply<HistoryAnswer>, answer: HistoryAnswer): void {
  reply.resolve(answer, answer.kind === "read" ? [answer.events.bytes.buffer] : []);
}

/** Reads what a message asks for; the answer comes as a message. `accessToken` null = nobody may ask. */
export function askHistory(
  context: ActorContext<PollerMessage>,
  homeserver: Pick<Homeserver, "roomMessages">,
  accessToken: string | null,
  { query, reply }: { query: HistoryQuery; reply: Reply<HistoryAnswer> },
): void {
  if (accessToken === null) {
    reply.resolve({ kind: "unavailable" });
    return;
  }
  context.pipe(
    readHistory(homeserver, accessToken, query),
    (answer) => ({ type: "history-read", answer, reply }),
    () => ({ type: "history-read", answer: { kind: "failed", retryAfterMs: 0 }, reply }),
  );
}

/** Asks the homeserver; never rejects but for a bug. */
async function readHistory(
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
