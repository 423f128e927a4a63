import type { EventFields } from "#src/protocol/events.ts";

/** Databases cannot hold NUL in text; such identifiers are no honest homeserver's. */
export const hasNul = (event: EventFields): boolean =>
  event.id.includes("\0") ||
  event.type.includes("\0") ||
  event.sender.includes("\0") ||
  (event.stateKey !== null && event.stateKey.includes("\0"));
