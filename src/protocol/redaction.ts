import { isObjectAt, lastMember, type MemberPlace, memberPlaces, skipSpace } from "./json-members.ts";
import { asObject, asText, member } from "./json-value.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** Room versions in which the algorithm changed, as the number it changed in. */
const ALIASES_LOSE = 6;
const ALLOW_STAYS = 8;
const AUTHORISED_VIA_STAYS = 9;
const REVISED = 11;

/** Members of an event that stay, whatever its type. */
const KEPT: ReadonlySet<string> = new Set([
  "event_id",
  "type",
  "room_id",
  "sender",
  "state_key",
  "content",
  "hashes",
  "signatures",
  "depth",
  "prev_events",
  "auth_events",
  "origin_server_ts",
]);
/** Members that stayed besides before version 11. */
const KEPT_ONCE: ReadonlySet<string> = new Set(["origin", "membership", "prev_state"]);
const POWER_LEVELS = [
  "ban",
  "events",
  "events_default",
  "kick",
  "redact",
  "state_default",
  "users",
  "users_default",
] as const;

/** What stays of `content`: everything, or these members; of one that is mapped to a list only the members in it. */
type KeptContent = "all" | ReadonlyMap<string, readonly string[] | null>;

/**
 * The event as it is after a redaction: what the room version's algorithm keeps, byte for byte, and `unsigned.redacted_because`.
 * null for an event that the homeserver redacted already.
 */
export function redactEvent(event: Uint8Array, roomVersion: string, redaction: Uint8Array): Uint8Array | null {
  const places = memberPlaces(event, skipSpace(event, 0));
  if (isRedacted(event, places)) return null;
  const version = versionNumber(roomVersion);
  const type = textAt(event, lastMember(places, "type"));
  const parts: Uint8Array[] = [];
  for (const place of places) {
    const isKept = KEPT.has(place.key) || (version < REVISED && KEPT_ONCE.has(place.key));
    // Of a name that comes twice the last one counts.
    if (!isKept || lastMember(places, place.key) !== place) continue;
    parts.push(encoder.encode(parts.length === 0 ? "{" : ","), event.subarray(place.start, place.valueStart));
    if (place.key === "content") parts.push(...keptMembers(event, place.valueStart, keptContent(type, version)));
    else parts.push(event.subarray(place.valueStart, place.end));
  }
  parts.push(encoder.encode(`${parts.length === 0 ? "{" : ","}"unsigned":{"redacted_because":`), redaction);
  parts.push(encoder.encode("}}"));
  return concat(parts);
}

/**
 * The event without what `unsigned` repeats of another one, which was redacted: the content it replaced, and bundled relations. null when
 * nothing is.
 */
export function withoutEcho(event: Uint8Array, redactedId: string): Uint8Array | null {
  const unsigned = lastMember(memberPlaces(event, skipSpace(event, 0)), "unsigned");
  if (unsigned === null) return null;
  const places = memberPlaces(event, unsigned.valueStart);
  const isSuccessor = textAt(event, lastMember(places, "replaces_state")) === redactedId;
  const kept = places.filter(({ key, valueStart, end }) => {
    if (key === "prev_content") return !isSuccessor;
    return key !== "m.relations" || !decoder.decode(event.subarray(valueStart, end)).includes(redactedId);
  });
  if (kept.length === places.length) return null;
  const parts: Uint8Array[] = [event.subarray(0, unsigned.valueStart)];
  for (const [index, { start, end }] of kept.entries()) {
    parts.push(encoder.encode(index === 0 ? "{" : ","), event.subarray(start, end));
  }
  parts.push(encoder.encode(kept.length === 0 ? "{}" : "}"), event.subarray(unsigned.end));
  return concat(parts);
}

/** The event that another one is about, an edit or a reply in a thread, say; null for none. */
export function relatedEvent(event: Uint8Array): string | null {
  const content = lastMember(memberPlaces(event, skipSpace(event, 0)), "content");
  if (content === null) return null;
  const relation = lastMember(memberPlaces(event, content.valueStart), "m.relates_to");
  return relation === null
    ? null
    : textAt(event, lastMember(memberPlaces(event, relation.valueStart), "event_id")) || null;
}

/**
 * The event that an `m.room.redaction` names, null for none. Where the version says where the name belongs, it counts there alone: in the
 * other place nobody checked it. Version 1 is also that of rooms of which the version is not known.
 */
export function redactionTarget(redaction: Uint8Array, roomVersion: string): string | null {
  let event: ReturnType<typeof asObject>;
  try {
    event = asObject(JSON.parse(decoder.decode(redaction)));
  } catch {
    return null;
  }
  const top = asText(member(event, "redacts"));
  const inside = asText(member(asObject(member(event, "content")), "redacts"));
  const version = versionNumber(roomVersion);
  if (version >= REVISED) return inside;
  return version === 1 ? (top ?? inside) : top;
}

/** Unknown versions count as the first. */
function versionNumber(roomVersion: string): number {
  return /^[1-9]\d?$/u.test(roomVersion) ? Number(roomVersion) : 1;
}

function keptContent(type: string, version: number): KeptContent {
  const kept = (...names: readonly string[]): KeptContent => new Map(names.map((name) => [name, null]));
  switch (type) {
    case "m.room.member": {
      const names = new Map<string, readonly string[] | null>([["membership", null]]);
      if (version >= AUTHORISED_VIA_STAYS) names.set("join_authorised_via_users_server", null);
      if (version >= REVISED) names.set("third_party_invite", ["signed"]);
      return names;
    }
    case "m.room.create":
      return version >= REVISED ? "all" : kept("creator");
    case "m.room.join_rules":
      return version >= ALLOW_STAYS ? kept("join_rule", "allow") : kept("join_rule");
    case "m.room.power_levels":
      return version >= REVISED ? kept(...POWER_LEVELS, "invite") : kept(...POWER_LEVELS);
    case "m.room.aliases":
      return version < ALIASES_LOSE ? kept("aliases") : kept();
    case "m.room.history_visibility":
      return kept("history_visibility");
    case "m.room.redaction":
      return version >= REVISED ? kept("redacts") : kept();
    default:
      return kept();
  }
}

/** The object at `at` with what stays of it; `{}` where there is none. */
function keptMembers(bytes: Uint8Array, at: number, kept: KeptContent): Uint8Array[] {
  const places = memberPlaces(bytes, at);
  const parts: Uint8Array[] = [];
  for (const place of places) {
    const inner = kept === "all" ? null : kept.get(place.key);
    if (inner === undefined || lastMember(places, place.key) !== place) continue;
    parts.push(encoder.encode(parts.length === 0 ? "{" : ","));
    if (inner === null || !isObjectAt(bytes, place.valueStart)) {
      parts.push(bytes.subarray(place.start, place.end));
      continue;
    }
    const names = new Map(inner.map((name) => [name, null]));
    parts.push(bytes.subarray(place.start, place.valueStart), ...keptMembers(bytes, place.valueStart, names));
  }
  parts.push(encoder.encode(parts.length === 0 ? "{}" : "}"));
  return parts;
}

function isRedacted(event: Uint8Array, places: readonly MemberPlace[]): boolean {
  const unsigned = lastMember(places, "unsigned");
  if (unsigned === null) return false;
  const because = lastMember(memberPlaces(event, unsigned.valueStart), "redacted_because");
  return because !== null && isObjectAt(event, because.valueStart);
}

function textAt(bytes: Uint8Array, place: MemberPlace | null): string {
  if (place === null) return "";
  return asText(JSON.parse(decoder.decode(bytes.subarray(place.valueStart, place.end)))) ?? "";
}

function concat(parts: readonly Uint8Array[]): Uint8Array {
  const whole = new Uint8Array(parts.reduce((length, part) => length + part.length, 0));
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}
