import type { EventId, RoomNid, StreamPos } from "./ids.ts";

/** What an event says of how long it is sticky (MSC4354). */
export interface Stickiness {
  durationMs: number;
  /** What the homeserver said was left of it; null = it did not say. */
  ttlMs: number | null;
}

/** An event that members of its room are told of until it expires, whatever they are shown of the timeline. */
export interface StickyEvent<B = Uint8Array> {
  nid: RoomNid;
  id: EventId;
  sender: string;
  /** Its place among sticky events: behind its place in the timeline. */
  pos: StreamPos;
  expiresMs: number;
  /** Empty for one that was redacted: it is sticky no more, and still known. */
  json: B;
}

/** No event is sticky for longer, whatever it says. */
const MAX_STICKY_MS = 3_600_000;

/** Milliseconds for which an event asks to be sticky; null = it does not, or not as MSC4354 has it. */
export function stickyDuration(value: unknown): number | null {
  if (typeof value !== "number" || !Number.isSafeInteger(value) || value < 0) return null;
  return Math.min(value, MAX_STICKY_MS);
}

/**
 * When a sticky event that arrives now expires: it counts from when it was sent, or from when it was received where its clock is
 * ahead. The homeserver knows best when that was, and may have said what is left.
 */
export function stickyUntil({ durationMs, ttlMs }: Stickiness, ts: number, nowMs: number): number {
  const left = ttlMs === null ? Math.min(ts, nowMs) - nowMs + durationMs : Math.min(ttlMs, durationMs);
  return nowMs + left;
}

/** Where a client is among sticky events: everything at or before (`at`, `pos`) is behind it. */
export interface StickyPlace {
  /** Position from which on the event was there for the user: its own, or that of the user's join. */
  at: StreamPos;
  pos: StreamPos;
}

/** Behind all events that were there from some position on. */
const EVERYTHING: StreamPos = Number.MAX_SAFE_INTEGER;

/** Before everything. */
export const STICKY_START: StickyPlace = { at: 0, pos: 0 };

/** Everything that was there for the user up to a position. */
export const stickyUpTo = (at: StreamPos): StickyPlace => ({ at, pos: EVERYTHING });

/** Negative where `a` comes first. */
export const compareStickyPlaces = (a: StickyPlace, b: StickyPlace): number => a.at - b.at || a.pos - b.pos;

/** What a token of sticky events says of its client. */
export interface StickyToken {
  /** What is behind this is the client's, but for rooms that are named. */
  place: StickyPlace;
  /** Rooms of which what comes after their own place was not told, though it is not after `place`. */
  untold: ReadonlyMap<RoomNid, StickyPlace>;
  /** Rooms that the client did not know when it was told what comes after their own place: it may have dropped that. */
  unseen: ReadonlyMap<RoomNid, StickyPlace>;
}

/** Of a client that was told nothing. */
export const NOTHING_TOLD: StickyToken = { place: STICKY_START, untold: new Map(), unseen: new Map() };

/** A token names so many rooms of each kind; for others it is what it says of all. */
const MAX_NAMED_ROOMS = 1000;

const [UNTOLD, UNSEEN] = ["~", "!"];
const NUMBER = "[0-9a-z]{1,11}";
const OWN_TOKEN = new RegExp(
  `^sticky_(\\d{1,16})(?:\\.(\\d{1,16}))?((?:[~!]${NUMBER}\\.${NUMBER}(?:\\.${NUMBER})?)*)$`,
);
const NAMED_ROOM = new RegExp(`([~!])(${NUMBER})\\.(${NUMBER})(?:\\.(${NUMBER}))?`, "g");
/** What Synapse gives out where several of its processes write. */
const FOREIGN_TOKEN = /^sticky_m\d+(?:~\d+\.\d+)*$/;
/** Longer texts are none of ours. */
const MAX_TOKEN_LENGTH = 100_000;

/** True for the form that tokens of sticky events have, whichever server gave them out. */
export const isStickyToken = (token: string): boolean =>
  token.length <= MAX_TOKEN_LENGTH && (OWN_TOKEN.test(token) || FOREIGN_TOKEN.test(token));

/** The token that says this of its client. */
export function stickyToken({ place, untold, unseen }: StickyToken): string {
  const { at, pos } = place;
  const main = pos === EVERYTHING ? `sticky_${at}` : `sticky_${at}.${pos}`;
  return main + named(UNTOLD, untold) + named(UNSEEN, unseen);
}

const named = (kind: string | undefined, rooms: StickyToken["untold"]): string =>
  [...rooms]
    .slice(0, MAX_NAMED_ROOMS)
    .map(([nid, { at, pos }]) => (pos === EVERYTHING ? [nid, at] : [nid, at, pos]))
    .map((numbers) => `${kind}${numbers.map((number) => number.toString(36)).join(".")}`)
    .join("");

/** What a token says of the client that comes with it; one of another server's says nothing. */
export function readStickyToken(token: string): StickyToken {
  const [, at, pos, rooms = ""] = OWN_TOKEN.exec(token) ?? [];
  if (at === undefined) return NOTHING_TOLD;
  const untold = new Map<RoomNid, StickyPlace>();
  const unseen = new Map<RoomNid, StickyPlace>();
  for (const [, kind, nid = "", roomAt = "", roomPos] of rooms.matchAll(NAMED_ROOM)) {
    const place = {
      at: Number.parseInt(roomAt, 36),
      pos: roomPos === undefined ? EVERYTHING : Number.parseInt(roomPos, 36),
    };
    (kind === UNTOLD ? untold : unseen).set(Number.parseInt(nid, 36) as RoomNid, place);
  }
  return { place: { at: Number(at), pos: pos === undefined ? EVERYTHING : Number(pos) }, untold, unseen };
}
