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

/** Before everything. */
export const STICKY_START: StickyPlace = { at: 0, pos: 0 };

/** Everything that was there for the user up to a position. */
export const stickyUpTo = (at: StreamPos): StickyPlace => ({ at, pos: Number.MAX_SAFE_INTEGER });

/** Negative where `a` comes first. */
export const compareStickyPlaces = (a: StickyPlace, b: StickyPlace): number => a.at - b.at || a.pos - b.pos;

const OWN_TOKEN = /^sticky_(\d{1,16})(?:\.(\d{1,16}))?$/;
/** What Synapse gives out where several of its processes write. */
const FOREIGN_TOKEN = /^sticky_m\d+(?:~\d+\.\d+)*$/;

/** True for the form that tokens of sticky events have, whichever server gave them out. */
export const isStickyToken = (token: string): boolean => OWN_TOKEN.test(token) || FOREIGN_TOKEN.test(token);

/** The token of a place. */
export const stickyToken = ({ at, pos }: StickyPlace): string =>
  pos === Number.MAX_SAFE_INTEGER ? `sticky_${at}` : `sticky_${at}.${pos}`;

/** Where a client is that comes with this token; one of another server's says nothing. */
export function readStickyToken(token: string): StickyPlace {
  const [, at, pos] = OWN_TOKEN.exec(token) ?? [];
  if (at === undefined) return STICKY_START;
  return { at: Number(at), pos: pos === undefined ? Number.MAX_SAFE_INTEGER : Number(pos) };
}
