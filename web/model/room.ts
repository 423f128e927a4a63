import type { MatrixEvent, RoomUpdate } from "./wire.ts";

/** What the console knows of one room; a value, replaced whenever something comes. */
export interface Room {
  readonly id: string;
  readonly name: string;
  readonly isDm: boolean;
  readonly isEncrypted: boolean;
  readonly isSpace: boolean;
  /** Invited or knocking: only a few bits of the room are known. */
  readonly isInvite: boolean;
  readonly inviter: string | null;
  readonly topic: string;
  readonly joinedCount: number;
  readonly invitedCount: number;
  readonly notificationCount: number;
  readonly highlightCount: number;
  /** Oldest first. */
  readonly timeline: readonly MatrixEvent[];
  /** Where older messages begin; null when there is nothing before. */
  readonly prevBatch: string | null;
  /** By type and state key. */
  readonly state: ReadonlyMap<string, MatrixEvent>;
}

/** So many events are kept of a room; older ones can be asked for again. */
const MOST_EVENTS = 1000;

/** Key of `Room.state`. */
const stateKeyOf = (type: string, stateKey: string): string => `${type}\n${stateKey}`;

const emptyRoom = (id: string): Room => ({
  id,
  name: "",
  isDm: false,
  isEncrypted: false,
  isSpace: false,
  isInvite: false,
  inviter: null,
  topic: "",
  joinedCount: 0,
  invitedCount: 0,
  notificationCount: 0,
  highlightCount: 0,
  timeline: [],
  prevBatch: null,
  state: new Map(),
});

/** The room after what a response says of it. */
export function applyUpdate(before: Room | undefined, id: string, update: RoomUpdate): Room {
  const room = before ?? emptyRoom(id);
  const stripped = update.invite_state ?? update.stripped_state;
  const state = stateAfter(room, update, stripped);
  const { timeline, prevBatch } = timelineAfter(room, update);
  const isMember = update.timeline !== undefined || update.required_state !== undefined || update.membership === "join";
  const isInvite = stripped === undefined ? room.isInvite && !isMember : update.membership !== "leave";
  return {
    id,
    name: nameAfter(room, update, state),
    isDm: update.is_dm ?? room.isDm,
    isEncrypted: state.has(stateKeyOf("m.room.encryption", "")),
    isSpace: state.get(stateKeyOf("m.room.create", ""))?.content["type"] === "m.space",
    isInvite,
    inviter: isInvite ? (inviterOf(stripped) ?? room.inviter) : null,
    topic: textOf(state.get(stateKeyOf("m.room.topic", ""))?.content["topic"]),
    joinedCount: update.joined_count ?? room.joinedCount,
    invitedCount: update.invited_count ?? room.invitedCount,
    notificationCount: update.notification_count ?? room.notificationCount,
    highlightCount: update.highlight_count ?? room.highlightCount,
    timeline,
    prevBatch,
    state,
  };
}

/** The room with older events before those it has. */
export function prependHistory(room: Room, events: readonly MatrixEvent[], prevBatch: string | null): Room {
  const known = new Set(room.timeline.map(({ event_id: id }) => id));
  const older = events.filter(({ event_id: id }) => !known.has(id));
  return { ...room, timeline: redacted([...older, ...room.timeline]).slice(-MOST_EVENTS), prevBatch };
}

/** Members of whom something is known, in the order of their names. */
export function membersOf(room: Room): { userId: string; name: string; membership: string }[] {
  const members: { userId: string; name: string; membership: string }[] = [];
  for (const event of room.state.values()) {
    if (event.type !== "m.room.member" || event.state_key === undefined) continue;
    const membership = textOf(event.content["membership"]);
    if (membership !== "join" && membership !== "invite") continue;
    members.push({ userId: event.state_key, name: displayName(room, event.state_key), membership });
  }
  return members.sort((a, b) => a.name.localeCompare(b.name));
}

/** By which name a member goes; the local part of their id where it was never told. */
export function displayName(room: Room, userId: string): string {
  const name = textOf(room.state.get(stateKeyOf("m.room.member", userId))?.content["displayname"]);
  return name === "" ? (/^@([^:]+)/.exec(userId)?.[1] ?? userId) : name;
}

function stateAfter(
  room: Room,
  { initial, required_state: required, timeline }: RoomUpdate,
  stripped: readonly MatrixEvent[] | undefined,
): ReadonlyMap<string, MatrixEvent> {
  const told = [...(stripped ?? []), ...(required ?? []), ...(timeline ?? [])].filter(
    (event) => event.state_key !== undefined,
  );
  // MSC3575 repeats an initial room without state when only its timeline grew.
  const isNew = initial === true && (required !== undefined || stripped !== undefined);
  if (told.length === 0) return room.state;
  const state = new Map(isNew ? [] : room.state);
  for (const event of told) state.set(stateKeyOf(event.type, event.state_key ?? ""), event);
  return state;
}

function timelineAfter(room: Room, update: RoomUpdate): Pick<Room, "timeline" | "prevBatch"> {
  const told = update.timeline ?? [];
  const isWhole =
    update.initial === true ||
    update.limited === true ||
    update.expanded_timeline === true ||
    update.unstable_expanded_timeline === true;
  if (told.length === 0) return { timeline: room.timeline, prevBatch: room.prevBatch };
  if (isWhole) return { timeline: redacted(told), prevBatch: update.prev_batch ?? null };
  const known = new Set(room.timeline.map(({ event_id: id }) => id));
  const news = told.filter(({ event_id: id }) => id === undefined || !known.has(id));
  return { timeline: redacted([...room.timeline, ...news]).slice(-MOST_EVENTS), prevBatch: room.prevBatch };
}

/** What was taken back is not shown, though its redaction came after it. */
function redacted(events: readonly MatrixEvent[]): MatrixEvent[] {
  const gone = new Set<unknown>();
  for (const event of events) {
    if (event.type === "m.room.redaction") gone.add(event.redacts ?? event.content["redacts"]);
  }
  return events.map((event) => (gone.has(event.event_id) ? { ...event, content: {} } : event));
}

function nameAfter(room: Room, update: RoomUpdate, state: Room["state"]): string {
  if (typeof update.name === "string" && update.name !== "") return update.name;
  const isUnset = update.name === null || (update.initial === true && update.name === undefined);
  if (!isUnset && room.name !== "") return room.name;
  const written = textOf(state.get(stateKeyOf("m.room.name", ""))?.content["name"]);
  if (written !== "") return written;
  const heroes = (update.heroes ?? []).map(({ user_id: id, displayname: name }) => name ?? id);
  if (heroes.length > 0) return heroes.join(", ");
  return room.name === "" ? "Empty room" : room.name;
}

const inviterOf = (stripped: readonly MatrixEvent[] | undefined): string | undefined =>
  stripped?.find(({ type, content }) => type === "m.room.member" && content["membership"] === "invite")?.sender;

const textOf = (value: unknown): string => (typeof value === "string" ? value : "");
