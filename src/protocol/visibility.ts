import type { StoredEvent } from "./events.ts";
import type { StreamPos } from "./ids.ts";
import type { RoomMeta, UserRoom } from "./room-meta.ts";

/**
 * The one place that decides what of a room a user may see (I6). Who is inside sees their stay from its join on, and what went before it as
 * far back as the room has said without a break that members may see all of it. Who left sees their latest stay, join and leave included.
 */

type Stay = Pick<UserRoom, "membership" | "joinPos" | "leftPos">;
type Room = Pick<RoomMeta, "sharedSince">;

/** The stream positions of a room the user may see; null = none. */
export function visibleRange(standing: Stay, { sharedSince }: Room): { from: StreamPos; to: StreamPos } | null {
  const { joinPos, leftPos } = standing;
  if (joinPos <= 0) return null;
  switch (standing.membership) {
    case "join":
      return { from: Math.min(joinPos, sharedSince ?? joinPos), to: Number.MAX_SAFE_INTEGER };
    case "leave":
    case "ban":
      return leftPos === null ? null : { from: joinPos, to: leftPos };
    case "invite":
    case "knock":
      return null;
  }
}

/** True when the user may see what happened in the room at this position. */
export function isVisible(standing: Stay, room: Room, pos: StreamPos): boolean {
  const range = visibleRange(standing, room);
  return range !== null && range.from <= pos && pos <= range.to;
}

/** True for the one event of a room that an invited user may see: the invite itself, which some member's poll brought. */
export function isOwnInvite(event: StoredEvent | null, userId: string): event is StoredEvent {
  return event !== null && event.membership === "invite" && event.stateKey === userId && event.inTimeline;
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

/** Whether a user is told a sticky event (MSC4354): history does not count, being in the room does. */
export const showsSticky = (standing: UserRoom | undefined, ignored: ReadonlySet<string>, sender: string): boolean =>
  standing?.membership === "join" && !ignored.has(sender);
