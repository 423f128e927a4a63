import type { RoomNid, StreamPos } from "../ids.ts";
import type { StickyEventsParams } from "../sticky.ts";
import {
  compareStickyPlaces,
  NOTHING_TOLD,
  readStickyToken,
  STICKY_START,
  type StickyEvent,
  type StickyPlace,
  type StickyToken,
  stickyToken,
  stickyUpTo,
} from "../sticky-events.ts";
import { showsSticky } from "../visibility.ts";
import type { Draft } from "./draft.ts";
import { eventBytes } from "./event-bytes.ts";
import type { SentRooms, StickyBody } from "./extensions-body.ts";
import type { RoomData } from "./room-data.ts";
import type { World } from "./world.ts";

/** What a connection knows of its client's sticky events beside the client's own token. Never changed, only replaced. */
export interface StickyProgress {
  /** With which token the client comes next, if it takes the last answer; null = nothing was answered. */
  expected: string | null;
  /** More is to be told than one response may hold. */
  hasRest: boolean;
}

/** Of a client that was told nothing. */
export const NO_STICKY_PROGRESS: StickyProgress = { expected: null, hasRest: false };

/** True when there may be something to tell although nothing has happened. */
export const hasUnheardSticky = ({ enabled, since }: StickyEventsParams, progress: StickyProgress): boolean =>
  enabled && (progress.hasRest || progress.expected !== since);

interface Candidate {
  event: StickyEvent;
  roomId: string;
  place: StickyPlace;
}

/** What the extension looks at. */
interface Scope {
  world: World;
  data: RoomData;
  draft: Draft;
  /** In a list, in view or not, or subscribed. */
  isListed: (nid: RoomNid) => boolean;
  /** The client has the room, or gets it with this response. */
  isKnown: (nid: RoomNid) => boolean;
}

/** What there is to tell of one room. */
interface RoomNews {
  nid: RoomNid;
  from: StickyPlace;
  candidates: Candidate[];
  /** An own event that waits for its transaction id, and all behind it, is told later. */
  firstWaiting: StickyPlace | null;
}

/** Nobody can have been told what has not happened: such a token is of another server, or of a time that a copy does not know. */
export const isStickyTokenAhead = (since: string, upTo: StreamPos): boolean => readStickyToken(since).place.at > upTo;

/**
 * What is told of sticky events: those of joined rooms, oldest first, from the client's token on. An event that was sent before the
 * user joined counts from the join on. The token says all there is to know of its client: what it passes over untold (the room is in
 * no list, an own event waits), and of which rooms its client drops what it is told, because it does not know them yet.
 */
export function buildSticky(
  scope: Scope,
  params: StickyEventsParams,
  sent: SentRooms,
): { body: StickyBody | null; progress: StickyProgress } {
  const { world, data, draft, isListed } = scope;
  const isAhead = isStickyTokenAhead(params.since, draft.upTo);
  const token = isAhead ? NOTHING_TOLD : readStickyToken(params.since);
  const rooms = world.stickyRooms(data.nowMs).map((nid) => newsOf(nid, startOf(nid, token, scope), scope));
  const candidates = rooms
    .flatMap((room) => (isListed(room.nid) ? room.candidates : []))
    .sort((a, b) => compareStickyPlaces(a.place, b.place));
  const told = candidates.slice(0, params.limit);
  const hasRest = told.length < candidates.length;
  const end = hasRest ? (told.at(-1)?.place ?? STICKY_START) : stickyUpTo(draft.upTo);
  const hasNews = told.length > 0 || isAhead;
  const nextBatch = hasNews ? stickyToken(tokenAfter(scope, token, rooms, end)) : params.since;
  return {
    body: hasNews ? { nextBatch, rooms: byRoom(scope, told, sent) } : null,
    progress: { expected: nextBatch, hasRest: hasRest && hasNews },
  };
}

const earlier = (a: StickyPlace, b: StickyPlace): StickyPlace => (compareStickyPlaces(a, b) <= 0 ? a : b);
const later = (a: StickyPlace, b: StickyPlace): StickyPlace => (compareStickyPlaces(a, b) >= 0 ? a : b);

/** From where on a room is told; with a room that the client gets to know comes again what it was told of it before. */
function startOf(nid: RoomNid, { place, untold, unseen }: StickyToken, { isKnown }: Scope): StickyPlace {
  const start = untold.get(nid) ?? place;
  const dropped = unseen.get(nid);
  return dropped !== undefined && isKnown(nid) ? earlier(dropped, start) : start;
}

/** What a client is told by its next token: everything of rooms in lists up to `end`. */
function tokenAfter(
  { isListed, isKnown }: Scope,
  before: StickyToken,
  rooms: RoomNews[],
  end: StickyPlace,
): StickyToken {
  const place = later(before.place, end);
  const untold = new Map<RoomNid, StickyPlace>();
  const unseen = new Map<RoomNid, StickyPlace>();
  for (const { nid, from, candidates, firstWaiting } of rooms) {
    const toldUpTo = isListed(nid) ? later(from, end) : from;
    const isIn = (low: StickyPlace, high: StickyPlace): boolean =>
      candidates.some((each) => compareStickyPlaces(each.place, low) > 0 && compareStickyPlaces(each.place, high) <= 0);
    const left = isIn(toldUpTo, place) ? [toldUpTo] : [];
    if (firstWaiting !== null && compareStickyPlaces(firstWaiting, place) <= 0)
      left.push({ at: firstWaiting.at, pos: firstWaiting.pos - 1 });
    if (left.length > 0) untold.set(nid, left.reduce(earlier));
    const dropped = before.unseen.get(nid) ?? (isIn(from, toldUpTo) ? from : undefined);
    if (dropped !== undefined && !isKnown(nid)) unseen.set(nid, dropped);
  }
  return { place, untold, unseen };
}

function newsOf(nid: RoomNid, from: StickyPlace, { world, data, draft }: Scope): RoomNews {
  const news: RoomNews = { nid, from, candidates: [], firstWaiting: null };
  const roomId = world.meta(nid)?.roomId;
  const standing = world.standing(nid);
  const joinPos = standing?.joinPos ?? 0;
  const heldFrom = world.heldFrom(nid) ?? Number.MAX_SAFE_INTEGER;
  for (const event of roomId === undefined ? [] : data.sticky(nid)) {
    const place = { at: Math.max(event.pos, joinPos), pos: event.pos };
    if (event.pos > draft.upTo || compareStickyPlaces(place, from) <= 0) continue;
    if (event.pos >= heldFrom) news.firstWaiting = earlier(news.firstWaiting ?? place, place);
    else if (showsSticky(standing, world.ignored, event.sender))
      news.candidates.push({ event, roomId: roomId ?? "", place });
  }
  return news;
}

/** By room id; what the timelines of the same response hold is left out. */
function byRoom({ world, data }: Scope, told: readonly Candidate[], sent: SentRooms): Map<string, Uint8Array[]> {
  const rooms = new Map<string, Uint8Array[]>();
  for (const [roomId, ofRoom] of Map.groupBy(told, (candidate) => candidate.roomId)) {
    const events = ofRoom.map(({ event }) => event).filter(({ nid, id }) => !sent.timelineIds(nid).has(id));
    rooms.set(roomId, eventBytes(world, data, events));
  }
  return rooms;
}
