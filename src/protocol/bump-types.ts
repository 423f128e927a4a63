/** Types of events that make a room recent for its members, in simplified sliding sync. */
export const BUMP_TYPES = [
  "m.room.create",
  "m.room.message",
  "m.room.encrypted",
  "m.sticker",
  "m.call.invite",
  "m.poll.start",
  "m.beacon_info",
] as const;

/** True for events that make a room recent. */
export const isBump = (type: string): boolean => (BUMP_TYPES as readonly string[]).includes(type);
