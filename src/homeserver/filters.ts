/**
 * Timeline events of a room in a first sync: enough to sort and preview it. Every further one is read by the homeserver for
 * each room of the account, which takes minutes where there are thousands; `prev_batch` pages in what came before.
 */
const FIRST_TIMELINE_LIMIT = 1;

/** Timeline events of a room in every later poll: a gap tears the timeline of all who are in the room, so it is rare. */
const LATER_TIMELINE_LIMIT = 50;

/** Members are never lazy-loaded: room names, counts and `$LAZY` are worked out from the full list. */
const filterBody = (room: object, noPresence: readonly string[] = []): string =>
  JSON.stringify({ presence: { not_types: ["*", ...noPresence] }, room });

/** Always sent inline: it is used once. */
export const FIRST_FILTER: string = filterBody({ timeline: { limit: FIRST_TIMELINE_LIMIT } });

/**
 * For a device's rooms beside its `since`: as for a first sync, yet no answer that was made before there was that `since`. Synapse gives
 * one answer for two minutes to all who ask the same, and what happened between that one and `since` would be in neither. The `since`
 * is therefore part of the question, where it changes nothing.
 */
export const roomsFilter = (since: string | null): string =>
  filterBody({ timeline: { limit: FIRST_TIMELINE_LIMIT } }, since === null ? [] : [since]);

/** No rooms at all: the first sync of a device whose user's rooms another device brings already. */
export const DEVICE_FILTER: string = filterBody({ rooms: [], timeline: { limit: FIRST_TIMELINE_LIMIT } });

/** Uploaded once for each user, sent inline until then and where that fails. */
export const LATER_FILTER: string = filterBody({ timeline: { limit: LATER_TIMELINE_LIMIT } });

/** Name of a filter in storage: a changed filter is uploaded anew. */
export const filterHash = (filter: string): string => Bun.hash.wyhash(filter).toString(16).padStart(16, "0");
