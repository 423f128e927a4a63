import { asJson, asNumber, asStrings, isJson, type Json } from "./wire.ts";

/** Timeline length when a filter does not say. */
const DEFAULT_TIMELINE_LIMIT = 10;
/** Longest timeline a sync gives, whatever the filter says. */
const MAX_TIMELINE_LIMIT = 1000;

type TypeTest = (type: string) => boolean;

/** The parts of a filter that steer a sync here. */
export interface SyncFilter {
  readonly timelineLimit: number;
  readonly includeLeave: boolean;
  readonly hasRoom: TypeTest;
  readonly hasAccountData: TypeTest;
  readonly hasTimeline: TypeTest;
  readonly hasState: TypeTest;
  readonly hasEphemeral: TypeTest;
  readonly hasRoomAccountData: TypeTest;
}

function globMatches(pattern: string, type: string): boolean {
  return pattern.endsWith("*") ? type.startsWith(pattern.slice(0, -1)) : pattern === type;
}

function typeTest(filter: unknown): TypeTest {
  const { types, not_types: notTypes } = asJson(filter);
  const allowed = Array.isArray(types) ? asStrings(types) : null;
  const denied = asStrings(notTypes);
  return (type) =>
    !denied.some((pattern) => globMatches(pattern, type)) &&
    (allowed === null || allowed.some((pattern) => globMatches(pattern, type)));
}

/** Reads an uploaded or inline filter; unknown members are ignored. */
function readFilter(filter: Json): SyncFilter {
  const room = asJson(filter["room"]);
  const timeline = asJson(room["timeline"]);
  const rooms = Array.isArray(room["rooms"]) ? new Set(asStrings(room["rooms"])) : null;
  const notRooms = new Set(asStrings(room["not_rooms"]));
  const limit = Math.trunc(asNumber(timeline["limit"], DEFAULT_TIMELINE_LIMIT));
  return {
    timelineLimit: Math.min(Math.max(limit, 0), MAX_TIMELINE_LIMIT),
    includeLeave: room["include_leave"] === true,
    hasRoom: (roomId) => !notRooms.has(roomId) && (rooms === null || rooms.has(roomId)),
    hasAccountData: typeTest(filter["account_data"]),
    hasTimeline: typeTest(timeline),
    hasState: typeTest(room["state"]),
    hasEphemeral: typeTest(room["ephemeral"]),
    hasRoomAccountData: typeTest(room["account_data"]),
  };
}

/** The filter a `filter` query parameter means: inline JSON, or the id of an uploaded one; null when it is neither. */
export function resolveFilter(text: string | null, uploaded: readonly Json[]): SyncFilter | null {
  if (text === null || text === "") return readFilter({});
  if (!text.startsWith("{")) {
    const stored = /^\d+$/u.test(text) ? uploaded[Number(text)] : undefined;
    return stored === undefined ? null : readFilter(stored);
  }
  const parsed: unknown = JSON.parse(text);
  return isJson(parsed) ? readFilter(parsed) : null;
}
