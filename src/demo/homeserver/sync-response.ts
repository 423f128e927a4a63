import type { Session } from "./accounts.ts";
import type { KeyStore } from "./key-store.ts";
import { membershipOf, type StoredEvent } from "./room.ts";
import type { Rooms } from "./rooms.ts";
import { formatToken, type Stream } from "./stream.ts";
import { changedAccountData, roomSections, type SyncView } from "./sync-rooms.ts";
import type { Json } from "./wire.ts";

/** To-device messages in one response. */
const TO_DEVICE_LIMIT = 100;

/** A sync response, and whether it tells anything. */
export interface SyncResponse {
  body: Json;
  hasNews: boolean;
}

const isJoin = (stored: StoredEvent | null): boolean => membershipOf(stored) === "join";

/** Whether somebody was joined at a stream position. */
function wasJoined(member: StoredEvent, pos: number): boolean {
  let stored: StoredEvent | null = member;
  while (stored !== null && stored.pos > pos) stored = stored.replaced;
  return isJoin(stored);
}

/** Users to ask keys for anew, and users we no longer share a room with. */
function deviceLists(
  session: Session,
  since: number,
  rooms: Rooms,
  keys: KeyStore,
): { changed: string[]; left: string[] } {
  const { account } = session;
  const recent = keys.changedAfter(since);
  const met = new Set<string>();
  const parted = new Set<string>();
  for (const [roomId, standing] of account.standings) {
    const { room, lastPos } = rooms.get(roomId);
    const wasIn = wasJoined(standing.member, since);
    const isIn = isJoin(standing.member);
    if (!wasIn && !isIn) continue;
    // Only rooms with a membership change since then can change whom we share a room with.
    if (lastPos <= since) continue;
    for (const member of room.members()) {
      if (member.event.state_key === undefined || (wasIn && isIn && member.pos <= since)) continue;
      const sharedThen = wasIn && wasJoined(member, since);
      const sharesNow = isIn && isJoin(member);
      if (sharesNow && !sharedThen) met.add(member.event.state_key);
      if (sharedThen && !sharesNow) parted.add(member.event.state_key);
    }
  }
  if (recent.length === 0 && met.size === 0 && parted.size === 0) return { changed: [], left: [] };
  const sharers = rooms.sharers(account);
  const changed = new Set([...recent.filter((userId) => sharers.has(userId)), ...met]);
  changed.delete(account.userId);
  if (recent.includes(account.userId)) changed.add(account.userId);
  return { changed: [...changed], left: [...parted].filter((userId) => !sharers.has(userId)) };
}

/** Builds the classic sync response for a view. */
export function buildSync(
  view: SyncView,
  toDeviceSince: number,
  deps: { rooms: Rooms; keys: KeyStore; stream: Stream },
): SyncResponse {
  const { session, since } = view;
  const { account, device } = session;
  const waiting = device.toDevice.filter((message) => message.pos > toDeviceSince);
  const batch = waiting.slice(0, TO_DEVICE_LIMIT);
  const toDevice = waiting.length > batch.length ? (batch.at(-1)?.pos ?? deps.stream.pos) : deps.stream.pos;
  const rooms = roomSections(view, deps.rooms);
  const accountData = changedAccountData(account.accountData, since, view.filter.hasAccountData);
  const lists = since === 0 ? { changed: [], left: [] } : deviceLists(session, since, deps.rooms, deps.keys);
  const hasLists = lists.changed.length > 0 || lists.left.length > 0;
  const hasRooms = Object.keys(rooms).length > 0;
  const body: Json = {
    next_batch: formatToken({ pos: deps.stream.pos, toDevice }),
    ...(accountData.length > 0 ? { account_data: { events: accountData } } : {}),
    ...(batch.length > 0 ? { to_device: { events: batch.map((message) => message.event) } } : {}),
    ...(hasLists ? { device_lists: lists } : {}),
    device_one_time_keys_count: deps.keys.oneTimeKeyCounts(device),
    device_unused_fallback_key_types: deps.keys.unusedFallbackKeyTypes(device),
    ...(hasRooms ? { rooms } : {}),
  };
  return { body, hasNews: hasRooms || hasLists || accountData.length > 0 || batch.length > 0 };
}
