import { BUMP_TYPES, isBump } from "#src/protocol/bump-types.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { RoomId, RoomNid, StreamPos } from "#src/protocol/ids.ts";
import { LATEST_TYPES_LIMIT, type RoomMeta, VANISHED_LIMIT } from "#src/protocol/room-meta.ts";
import { asObject, asText, parseContent } from "./json.ts";

/** A room of which nothing is known but its name. */
export function emptyRoom(nid: RoomNid, roomId: RoomId): RoomMeta {
  return {
    nid,
    roomId,
    name: null,
    avatar: null,
    alias: null,
    isEncrypted: false,
    lacksAlgorithm: false,
    roomType: null,
    roomVersion: "1",
    successor: null,
    predecessor: null,
    sharedSince: null,
    joinedCount: 0,
    invitedCount: 0,
    heroes: [],
    leavers: [],
    spaceChildren: [],
    latestPos: 0,
    latestTs: 0,
    latestByType: {},
    awaitedRedactions: [],
    resetPos: 0,
    gapEventId: null,
    seams: [],
    openGaps: [],
    vanished: [],
    vanishedUpTo: 0,
  };
}

/** True for a room known by an invite or knock only: nothing of it was ever stored. */
export const isBareRoom = (meta: RoomMeta): boolean => meta.latestPos === 0;

/** Types of state that `reduceState` reads; nothing else is parsed. */
const READ_TYPES: ReadonlySet<string> = new Set([
  "m.room.name",
  "m.room.avatar",
  "m.room.canonical_alias",
  "m.room.encryption",
  "m.room.create",
  "m.room.tombstone",
  "m.room.history_visibility",
  "m.space.child",
]);

/** Visibilities under which later members may see an event. */
const SHARED: ReadonlySet<unknown> = new Set(["shared", "world_readable"]);

/** What one new current state event changes in the metadata; null when it changes nothing. */
export function reduceState(
  meta: RoomMeta,
  type: string,
  stateKey: string,
  json: Uint8Array,
  pos: StreamPos,
): Partial<RoomMeta> | null {
  if (!READ_TYPES.has(type)) return null;
  if (type === "m.space.child") return reduceSpaceChild(meta, stateKey, json);
  if (stateKey !== "") return null;
  const content = parseContent(json);
  switch (type) {
    case "m.room.encryption": {
      // Once encrypted, a room stays so; without an algorithm it is merely not listed as such by everybody.
      const lacksAlgorithm = (content["algorithm"] ?? null) === null;
      return meta.isEncrypted && meta.lacksAlgorithm === lacksAlgorithm ? null : { isEncrypted: true, lacksAlgorithm };
    }
    case "m.room.name":
      return { name: asText(content["name"]) };
    case "m.room.avatar":
      return { avatar: asText(content["url"]) };
    case "m.room.canonical_alias":
      return { alias: asText(content["alias"]) };
    case "m.room.tombstone":
      return { successor: asText(content["replacement_room"]) };
    case "m.room.history_visibility":
      return { sharedSince: SHARED.has(content["history_visibility"]) ? pos : null };
    default:
      return {
        roomType: asText(content["type"]),
        roomVersion: asText(content["room_version"]) ?? "1",
        predecessor: asText(asObject(content["predecessor"])["room_id"]),
      };
  }
}

function reduceSpaceChild(meta: RoomMeta, childId: string, json: Uint8Array): Partial<RoomMeta> | null {
  if (meta.roomType !== "m.space" || childId === "") return null;
  const via = parseContent(json)["via"];
  const isChild = Array.isArray(via) && via.length > 0;
  if (isChild === meta.spaceChildren.includes(childId)) return null;
  const spaceChildren = isChild
    ? [...meta.spaceChildren, childId]
    : meta.spaceChildren.filter((roomId) => roomId !== childId);
  return { spaceChildren };
}

/** What is to be kept of state that is no more, when these keys go at `head` and others come back; null = as it was. */
export function reduceVanished(
  { vanished, vanishedUpTo }: RoomMeta,
  removed: readonly { type: string; stateKey: string }[],
  isBack: (type: string, stateKey: string) => boolean,
  head: StreamPos,
): Pick<RoomMeta, "vanished" | "vanishedUpTo"> | null {
  const kept = vanished.filter(([type, stateKey]) => !isBack(type, stateKey));
  if (kept.length === vanished.length && removed.length === 0) return null;
  const isGoneAnew = new Set(removed.map(({ type, stateKey }) => `${type}\0${stateKey}`));
  const all = kept.filter(([type, stateKey]) => !isGoneAnew.has(`${type}\0${stateKey}`));
  for (const { type, stateKey } of removed) all.push([type, stateKey, head]);
  const lost = all.slice(0, -VANISHED_LIMIT).at(-1);
  const lostUpTo = lost?.[2] ?? vanishedUpTo;
  return { vanished: all.filter(([, , pos]) => pos > lostUpTo), vanishedUpTo: lostUpTo };
}

/** A time that far back is that of a wrong clock, not of an event on its way. */
const SLOWEST_EVENT_MS = 24 * 60 * 60_000;

/**
 * `bumpTs` after a run of new timeline events: of a first sync the time of the newest that bumps; live the time of each, or of its arrival
 * where that cannot be, and later than the one before. Undefined = nothing bumped.
 */
export function reduceBumpTs(
  before: Pick<RoomMeta, "bumpTs" | "latestByType">,
  events: readonly StoredEvent[],
  { isHistory, nowMs }: { isHistory: boolean; nowMs: number },
): number | undefined {
  const known = BUMP_TYPES.map((type) => before.latestByType[type]?.[1] ?? 0);
  const first = before.bumpTs ?? Math.min(nowMs, Math.max(...known));
  let latest = first;
  for (const { type, ts } of events) {
    if (!isBump(type)) continue;
    const isPlausible = isHistory || ts > nowMs - SLOWEST_EVENT_MS;
    const time = isPlausible ? Math.min(ts, nowMs) : nowMs;
    latest = isHistory ? Math.max(latest, time) : Math.max(latest + 1, time);
  }
  return latest === first ? before.bumpTs : latest;
}

/** `latestByType` after a run of new timeline events in stream order. */
export function reduceLatestByType(
  latest: RoomMeta["latestByType"],
  events: readonly StoredEvent[],
): RoomMeta["latestByType"] {
  // Types come from strangers: a plain object would take `__proto__` for something else.
  const byType = new Map<string, [StreamPos, number]>(Object.entries(latest));
  for (const event of events) byType.set(event.type, [event.pos, event.ts]);
  if (byType.size <= LATEST_TYPES_LIMIT) return Object.fromEntries(byType);
  const newest = [...byType].sort(([, a], [, b]) => b[0] - a[0]).slice(0, LATEST_TYPES_LIMIT);
  return Object.fromEntries(newest);
}
