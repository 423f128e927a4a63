import { type Dated, ignoredUsers, type Session, type Standing } from "./accounts.ts";
import { membershipOf, renderEvent, type Room, type StoredEvent } from "./room.ts";
import type { RoomEntry, Rooms } from "./rooms.ts";
import { formatToken } from "./stream.ts";
import type { SyncFilter } from "./sync-filter.ts";
import type { Json } from "./wire.ts";

/** One sync as asked for: by whom, from where, with what. */
export interface SyncView {
  readonly session: Session;
  /** 0 on a first sync. */
  readonly since: number;
  readonly isFullState: boolean;
  readonly filter: SyncFilter;
  /** Name of the section that replaces `state` (MSC4222); null = classic `state`. */
  readonly stateAfterKey: string | null;
  readonly nowMs: number;
}

interface TimelinePart {
  events: StoredEvent[];
  limited: boolean;
  /** Stream position just before the first event. */
  start: number;
}

const STRIPPED_TYPES = new Set([
  "m.room.create",
  "m.room.name",
  "m.room.avatar",
  "m.room.topic",
  "m.room.join_rules",
  "m.room.canonical_alias",
  "m.room.encryption",
]);

/** The newest visible events in (from, to], at most as many as the filter wants. */
function timelinePart(view: SyncView, room: Room, from: number, to: number): TimelinePart {
  const { filter, session } = view;
  const ignored = ignoredUsers(session.account);
  const events: StoredEvent[] = [];
  let start = to;
  for (let index = room.indexAfter(to) - 1; index >= 0; index -= 1) {
    const stored = room.at(index);
    if (stored === undefined || stored.pos <= from) break;
    const { event } = stored;
    if (!room.canSee(stored, session.account.userId) || !filter.hasTimeline(event.type)) continue;
    if (event.state_key === undefined && ignored.has(event.sender)) continue;
    if (events.length === filter.timelineLimit) return { events: events.reverse(), limited: true, start };
    events.push(stored);
    start = stored.pos - 1;
  }
  return { events: events.reverse(), limited: false, start };
}

/** What the user's own member events since `since` say. */
function ownHistory(member: StoredEvent, since: number): { before: string; wasJoined: boolean; wasAway: boolean } {
  let wasJoined = false;
  let wasAway = false;
  let own: StoredEvent | null = member;
  while (own !== null && own.pos > since) {
    if (membershipOf(own) === "join") wasJoined = true;
    else wasAway = true;
    own = own.replaced;
  }
  const before = membershipOf(own);
  return { before, wasJoined: wasJoined || before === "join", wasAway };
}

/** The state section: what the client cannot work out from the timeline, or all that changed with MSC4222. */
function stateSection(view: SyncView, room: Room, part: TimelinePart, from: number, to: number): Json {
  const { stateAfterKey, session, filter } = view;
  const below = stateAfterKey === null && part.events.length > 0 ? part.start + 1 : to + 1;
  const isWhole = from === 0 || view.isFullState;
  const events = isWhole ? room.stateBelow(below) : room.stateChanges(from, below);
  const rendered = events
    .filter((stored) => filter.hasState(stored.event.type))
    .map((stored) => renderEvent(room, stored, session.device, view.nowMs));
  return { [stateAfterKey ?? "state"]: { events: rendered } };
}

function timelineSection(view: SyncView, room: Room, part: TimelinePart): Json {
  return {
    events: part.events.map((stored) => renderEvent(room, stored, view.session.device, view.nowMs)),
    limited: part.limited,
    prev_batch: formatToken({ pos: part.start, toDevice: 0 }),
  };
}

/** Account data changed after `since`, as events. */
export function changedAccountData(
  data: ReadonlyMap<string, Dated> | undefined,
  since: number,
  isWanted: (type: string) => boolean,
): Json[] {
  if (data === undefined) return [];
  return [...data]
    .filter(([type, dated]) => dated.pos > since && isWanted(type))
    .map(([type, dated]) => ({ type, content: dated.content }));
}

function joinedSection(view: SyncView, entry: RoomEntry, standing: Standing): Json | null {
  const { room, ephemera, unread } = entry;
  const { account } = view.session;
  const history = ownHistory(standing.member, view.since);
  const isNew = view.since === 0 || history.before !== "join" || history.wasAway;
  const from = isNew ? 0 : view.since;
  const accountData = changedAccountData(
    account.roomAccountData.get(room.roomId),
    from,
    view.filter.hasRoomAccountData,
  );
  const hasNews = isNew || view.isFullState || accountData.length > 0;
  if (!hasNews && entry.lastPos <= from && ephemera.pos <= from) return null;
  const part = timelinePart(view, room, from, Number.MAX_SAFE_INTEGER);
  // An empty window has no first event to date it by: its tokens are those of the present.
  const dated = part.events.length > 0 ? part : { ...part, start: entry.lastPos };
  const ephemeral = [ephemera.typingEvent(from), ephemera.receiptEvent(from, account.userId)].filter(
    (event) => event !== null && view.filter.hasEphemeral(String(event["type"])),
  );
  const changed = stateSection(view, room, dated, from, entry.lastPos);
  const isEmptyState = Object.values(changed).every((section) => (section as { events: Json[] }).events.length === 0);
  if (!hasNews && part.events.length === 0 && ephemeral.length === 0 && isEmptyState) return null;
  return {
    timeline: timelineSection(view, room, dated),
    ...changed,
    account_data: { events: accountData },
    ephemeral: { events: ephemeral },
    unread_notifications: unread.counts(account.userId, account.localpart),
    summary: {},
  };
}

function strippedEvents(room: Room, member: StoredEvent): Json[] {
  const events: Json[] = room
    .stateBelow(member.pos + 1)
    .filter(
      ({ event }) =>
        STRIPPED_TYPES.has(event.type) ||
        (event.type === "m.room.member" &&
          event.state_key === member.event.sender &&
          event.sender !== member.event.state_key),
    )
    .map(({ event }) => ({
      type: event.type,
      state_key: event.state_key,
      content: event.content,
      sender: event.sender,
    }));
  return [...events, { ...member.event }];
}

function leftSection(view: SyncView, room: Room, standing: Standing): Json {
  const { member } = standing;
  const history = ownHistory(member, view.since);
  const isReturn = view.since > 0 && history.before !== "join";
  const from = view.since > 0 && !isReturn ? view.since : 0;
  // Without a membership in between there is no history to show, only how it ended.
  const part: TimelinePart = history.wasJoined
    ? timelinePart(view, room, from, member.pos)
    : { events: [member], limited: false, start: member.pos - 1 };
  const state = history.wasJoined ? stateSection(view, room, part, from, member.pos) : { state: { events: [] } };
  const accountData = changedAccountData(
    view.session.account.roomAccountData.get(room.roomId),
    from,
    view.filter.hasRoomAccountData,
  );
  return { timeline: timelineSection(view, room, part), ...state, account_data: { events: accountData } };
}

/** Left rooms appear when the leaving is news; on a first sync only when somebody else ended it, or when asked for. */
function showsLeft(view: SyncView, { member, isForgotten }: Standing): boolean {
  if (isForgotten) return false;
  if (view.since > 0) return member.pos > view.since;
  return view.filter.includeLeave || member.event.sender !== member.event.state_key;
}

/** `rooms` of a sync response; empty when there is nothing to say. */
export function roomSections(view: SyncView, rooms: Rooms): Json {
  const sections: Record<string, Record<string, Json>> = {};
  const put = (section: string, roomId: string, body: Json): void => {
    (sections[section] ??= {})[roomId] = body;
  };
  const ignored = ignoredUsers(view.session.account);
  for (const [roomId, standing] of view.session.account.standings) {
    if (!view.filter.hasRoom(roomId)) continue;
    const { member } = standing;
    const membership = membershipOf(member);
    const entry = rooms.get(roomId);
    if (membership === "join") {
      const body = joinedSection(view, entry, standing);
      if (body !== null) put("join", roomId, body);
    } else if (membership === "invite" || membership === "knock") {
      if (member.pos <= view.since || ignored.has(member.event.sender)) continue;
      put(membership, roomId, { [`${membership}_state`]: { events: strippedEvents(entry.room, member) } });
    } else if (showsLeft(view, standing)) {
      put("leave", roomId, leftSection(view, entry.room, standing));
    }
  }
  return sections;
}
