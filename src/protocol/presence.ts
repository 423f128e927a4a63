/** How a user is seen by others while their device syncs; the first one counts before the others. */
export const PRESENCES = ["online", "unavailable", "offline"] as const;
export type Presence = (typeof PRESENCES)[number];

/** Reads one as it is on the wire; null for anything else. */
export const parsePresence = (text: string): Presence | null => PRESENCES.find((presence) => presence === text) ?? null;
