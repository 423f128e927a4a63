import type { StreamPos } from "./ids.ts";
import type { UserRoom } from "./room-meta.ts";

/**
 * The one place that decides what of a room a user may see (I6). Every room is treated as if its history were visible
 * to members from their join on: of the latest stay, the join and the leave included, and nothing else.
 */

type Stay = Pick<UserRoom, "membership" | "joinPos" | "leftPos">;

/** The stream positions of a room the user may see; null = none. */
export function visibleRange(standing: Stay): { from: StreamPos; to: StreamPos } | null {
  if (standing.joinPos <= 0) return null;
  switch (standing.membership) {
    case "join":
      return { from: standing.joinPos, to: Number.MAX_SAFE_INTEGER };
    case "leave":
    case "ban":
      return standing.leftPos === null ? null : { from: standing.joinPos, to: standing.leftPos };
    case "invite":
    case "knock":
      return null;
  }
}

/** True when the user may see what happened in the room at this position. */
export function isVisible(standing: Stay, pos: StreamPos): boolean {
  const range = visibleRange(standing);
  return range !== null && range.from <= pos && pos <= range.to;
}

/** True when the room belongs into the user's lists: joined or invited, never left, kicked, banned or knocked. */
export function isListed(standing: Pick<UserRoom, "membership">): boolean {
  return standing.membership === "join" || standing.membership === "invite";
}

/** True for messages of senders the user ignores; state is always shown. */
export function isIgnoredEvent(
  event: { sender: string; stateKey: string | null },
  ignored: ReadonlySet<string>,
): boolean {
  return event.stateKey === null && ignored.has(event.sender);
}
