import type { RoomNid } from "../ids.ts";
import type { StickyEventsParams } from "../sticky.ts";
import {
  compareStickyPlaces,
  readStickyToken,
  STICKY_START,
  type StickyEvent,
  type StickyPlace,
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
  /** Rooms of which not all before the client's token was told, and from where on. */
  withheld: ReadonlyMap<RoomNid, StickyPlace>;
}

/** Of a client that was told nothing. */
export const NO_STICKY_PROGRESS: StickyProgress = { expected: null, hasRest: false, withheld: new Map() };

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
}

/** What there is to tell of one room. */
interface RoomNews {
  nid: RoomNid;
  from: StickyPlace;
  candidates: Candidate[];
  /** An own event that waits for its transaction id, and all behind it, is told later. */
  firstWaiting: StickyPlace | null;
}

/**
 * What is told of sticky events: those of joined rooms, oldest first, from the client's token on. An event that was sent before the
 * user joined counts from the join on. What a token passes over untold (its room is in no list, an own event waits) is remembered.
 */
export function buildSticky(
  scope: Scope,
  params: StickyEventsParams,
  progress: StickyProgress,
  sent: SentRooms,
): { body: StickyBody | null; progress: StickyProgress } {
  const { world, data, draft, isListed } = scope;
  const since = params.since === "" ? STICKY_START : readStickyToken(params.since);
  const withheld = new Map<RoomNid, StickyPlace>();
  const rooms: RoomNews[] = [];
  for (const nid of world.stickyRooms(data.nowMs)) {
    const from = isNewInView(nid, draft) ? STICKY_START : earlier(progress.withheld.get(nid) ?? since, since);
    if (isListed(nid)) rooms.push(newsOf(nid, from, scope));
    else withheld.set(nid, from);
  }
  const candidates = rooms.flatMap((room) => room.candidates).sort((a, b) => compareStickyPlaces(a.place, b.place));
  const told = candidates.slice(0, params.limit);
  const hasRest = told.length < candidates.length;
  const end = hasRest ? (told.at(-1)?.place ?? STICKY_START) : stickyUpTo(draft.upTo);
  for (const { nid, from, firstWaiting } of rooms) {
    const untold = [];
    // The client's token stays where it is: what is before it has to be remembered.
    if (compareStickyPlaces(end, since) < 0 && compareStickyPlaces(from, since) < 0) untold.push(later(from, end));
    if (firstWaiting !== null) untold.push({ at: firstWaiting.at, pos: firstWaiting.pos - 1 });
    if (untold.length > 0) withheld.set(nid, untold.reduce(earlier));
  }
  const isTold = told.length > 0;
  const nextBatch = stickyToken(later(since, end));
  return {
    body: isTold ? { nextBatch, rooms: byRoom(scope, told, sent) } : null,
    progress: { expected: isTold ? nextBatch : params.since, hasRest: hasRest && isTold, withheld },
  };
}

const earlier = (a: StickyPlace, b: StickyPlace): StickyPlace => (compareStickyPlaces(a, b) <= 0 ? a : b);
const later = (a: StickyPlace, b: StickyPlace): StickyPlace => (compareStickyPlaces(a, b) >= 0 ? a : b);

/** Clients drop what they are told of rooms that they do not know yet: with such a room all of it comes. */
function isNewInView(nid: RoomNid, { isFirst, rooms }: Draft): boolean {
  const room = rooms.get(nid);
  return !isFirst && room?.kind === "initial" && (room.held ?? null) === null;
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
