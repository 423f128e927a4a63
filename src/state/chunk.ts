import type { EventFields } from "#src/protocol/events.ts";
import type { StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PolledJoin, PolledLeave } from "#src/protocol/poll-batch.ts";
import type { UserRoom } from "#src/protocol/room-meta.ts";

/** A room section that brings events. */
export type PolledChunk = PolledJoin | PolledLeave;

const isOwnMember = (event: EventFields, userId: UserId): boolean =>
  event.type === "m.room.member" && event.stateKey === userId;

/** The user's newest own member event in a section; null when it brings none. */
export function findOwnMember(room: PolledChunk, userId: UserId): EventFields | null {
  const inTimeline = room.timeline.findLast((event) => isOwnMember(event, userId));
  const inState = room.state.find((event) => isOwnMember(event, userId));
  return (room.isStateAfter ? (inState ?? inTimeline) : (inTimeline ?? inState)) ?? null;
}

/**
 * True when every event of a section was sent since the user's previous poll: the user was in the room before and stays in it.
 * Only then can an event that is not remembered be taken for a new one.
 */
export function isContinuingChunk(
  room: PolledChunk,
  userId: UserId,
  isFirstSync: boolean,
  standing: UserRoom | null,
): boolean {
  if (isFirstSync || room.kind !== "join" || standing?.membership !== "join") return false;
  // The poll that brings a join may bring older history with it, and in a state block what was before.
  const isOwn = (event: EventFields): boolean => isOwnMember(event, userId);
  return !room.timeline.some(isOwn) && !room.state.some(isOwn);
}

/** A timeline as far as it shows everything that happened: what it shows before something known is older than that. */
export interface Certainty {
  /** From the user's own join on, or all of it; the length of the timeline = nowhere. */
  from: number;
  /** The user's stay begins there. What is before may be history that the join exposed, less what the user may not see. */
  isJoin: boolean;
}

/** What of a section's timeline is certain. */
export function certaintyOf(
  { kind, timeline, state }: { kind: string; timeline: readonly EventFields[]; state: readonly EventFields[] },
  userId: UserId,
  isFirstSync: boolean,
  standing: UserRoom | null,
): Certainty {
  const nowhere = { from: timeline.length, isJoin: false };
  if (isFirstSync || kind !== "join") return nowhere;
  const isOwn = (event: EventFields): boolean => isOwnMember(event, userId);
  const join = timeline.findLastIndex((event) => isOwn(event) && event.prevMembership !== "join");
  if (join !== -1) return timeline[join]?.membership === "join" ? { from: join, isJoin: true } : nowhere;
  const isInside = standing?.membership === "join" || wasInside(standing);
  return isInside && !state.some(isOwn) ? { from: 0, isJoin: false } : nowhere;
}

/** True for one who was in the room and left it: a section that says they are inside, and nothing of a join, is from before that. */
export const wasInside = (standing: UserRoom | null): standing is UserRoom =>
  (standing?.membership === "leave" || standing?.membership === "ban") && standing.joinPos > 0;

/**
 * True when something is known of where a section's events belong: from where its timeline is certain, or, of rooms that a device reads
 * beside its `since`, by what was stored after that poll began. `polledAt`: see `LateSight`.
 */
export const isPlaceable = (
  { isFirstSync }: { isFirstSync: boolean },
  timeline: readonly EventFields[],
  certain: Certainty,
  polledAt: StreamPos,
): boolean => certain.from < timeline.length || (isFirstSync && polledAt >= 0);

/**
 * Where the events to keep begin: after the last one that is already stored. What lies before it is history that somebody's join
 * exposed. Where a timeline is certain it exposes none: an unknown event in it was hidden from the others (its sender is ignored, say),
 * or skipped by one of them in a gap. There it stays, for its place in the timeline is taken: clients page back for it.
 */
export function firstKept(
  timeline: readonly EventFields[],
  certain: number,
  gapEventId: string | null,
  isKnown: (event: EventFields) => boolean,
): number {
  const gap = gapEventId === null ? -1 : timeline.findIndex(({ id }) => id === gapEventId);
  return Math.max(Math.min(certain, timeline.findLastIndex(isKnown) + 1), gap);
}

/**
 * What a departure shows of the stay that it ends; null when it ends none, as after a rejected invite or a ban in advance.
 *
 * To whoever is outside nothing is told of what lies between the invite and its end, or a leave and a ban. Such an event taken
 * into the timeline would come before what those inside are still to be told: they bring it in its place.
 */
export function stayOf({ timeline }: PolledLeave, userId: UserId, standing: UserRoom | null): EventFields[] | null {
  const isInside = standing?.membership === "join";
  const showsOthers = timeline.some((event) => !isOwnMember(event, userId));
  const end = timeline.findLastIndex((event) => {
    if (!isOwnMember(event, userId) || (event.membership !== "leave" && event.membership !== "ban")) return false;
    return event.prevMembership === null ? isInside || showsOthers : event.prevMembership === "join";
  });
  if (end !== -1) return timeline.slice(0, end + 1);
  return isInside ? timeline : null;
}

/** True for the event that a room begins with. */
export const isCreate = (event: EventFields): boolean => event.type === "m.room.create" && event.stateKey === "";

/** Some homeservers send the event that made a new room in the timeline, behind state that needs it. */
export function withCreateInState(
  timeline: readonly EventFields[],
  state: readonly EventFields[],
  isHeld: boolean,
): { timeline: readonly EventFields[]; state: readonly EventFields[] } {
  const create = timeline.find(isCreate);
  if (isHeld || create === undefined || state.length === 0 || state.some(isCreate)) return { timeline, state };
  return { timeline: timeline.filter((event) => event !== create), state: [create, ...state] };
}

/**
 * State from before what is known of a room, in a timeline that has the room's beginning, which nobody brought so far: the room became
 * known by the end of another member's timeline alone.
 */
export function unseenBeginning(
  timeline: readonly EventFields[],
  isKept: (index: number) => boolean,
  isKnown: (id: EventFields["id"]) => boolean,
): readonly EventFields[] {
  const create = timeline.findIndex(isCreate);
  const first = timeline[create];
  if (first === undefined || isKept(create) || isKnown(first.id)) return [];
  return timeline.filter(({ id, stateKey }, index) => stateKey !== null && !isKept(index) && !isKnown(id));
}

/** The create event says what the others mean (spaces), so it comes first wherever the homeserver put it. */
export function createFirst(state: readonly EventFields[]): readonly EventFields[] {
  const index = state.findIndex(isCreate);
  const create = state[index];
  if (index <= 0 || create === undefined) return state;
  return [create, ...state.slice(0, index), ...state.slice(index + 1)];
}

/** Somebody whom `isOurs` knows leaves, or is sent away. */
export const hasLeave = (events: readonly EventFields[], isOurs: (userId: string) => boolean): boolean =>
  events.some(
    ({ type, stateKey, membership }) =>
      type === "m.room.member" &&
      stateKey !== null &&
      (membership === "leave" || membership === "ban") &&
      isOurs(stateKey),
  );
