/**
 * Timeline events of a room in a first sync: what a room shows when it is opened. With more, an account of thousands of
 * rooms takes the homeserver minutes; older events are paged in by the client.
 */
const FIRST_TIMELINE_LIMIT = 20;

/** Timeline events of a room in every later poll: a gap tears the timeline of all who are in the room, so it is rare. */
const LATER_TIMELINE_LIMIT = 50;

/** Members are never lazy-loaded: room names, counts and `$LAZY` are worked out from the full list. */
const filterBody = (timelineLimit: number): string =>
  JSON.stringify({ presence: { not_types: ["*"] }, room: { timeline: { limit: timelineLimit } } });

/** Always sent inline: it is used once. */
export const FIRST_FILTER: string = filterBody(FIRST_TIMELINE_LIMIT);

/** Uploaded once for each user, sent inline until then and where that fails. */
export const LATER_FILTER: string = filterBody(LATER_TIMELINE_LIMIT);

/** Name of a filter in storage: a changed filter is uploaded anew. */
export const filterHash = (filter: string): string => Bun.hash.wyhash(filter).toString(16).padStart(16, "0");
