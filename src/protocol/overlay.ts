import { isObjectAt, lastMember, memberPlaces, skipSpace } from "./json-members.ts";

const encoder = new TextEncoder();
const CLOSE = 0x7d;

/** What of an event is of one device, or of the moment in which it is sent, and therefore not stored with it (I3). */
export interface Overlay {
  /** null where it is none of this device's. */
  txnId: string | null;
  /** What is left of a sticky event's time; null for one that is not sticky. */
  stickyTtlMs: number | null;
}

/** The event with these set in `unsigned`. All other bytes stay as they are. */
export function withOverlay(event: Uint8Array, { txnId, stickyTtlMs }: Overlay): Uint8Array {
  if (txnId === null && stickyTtlMs === null) return event;
  const members: string[] = [];
  if (txnId !== null) members.push(`"transaction_id":${JSON.stringify(txnId)}`);
  if (stickyTtlMs !== null) members.push(`"msc4354_sticky_duration_ttl_ms":${stickyTtlMs}`);
  const member = members.join(",");
  const unsigned = lastMember(memberPlaces(event, skipSpace(event, 0)), "unsigned");
  if (unsigned !== null && isObjectAt(event, unsigned.valueStart)) {
    const inside = unsigned.valueStart + 1;
    const isEmpty = event[skipSpace(event, inside)] === CLOSE;
    return splice(event, inside, isEmpty ? member : `${member},`);
  }
  const end = event.lastIndexOf(CLOSE);
  return end < 0 ? event : splice(event, end, `,"unsigned":{${member}}`);
}

function splice(bytes: Uint8Array, at: number, text: string): Uint8Array {
  const added = encoder.encode(text);
  const result = new Uint8Array(bytes.length + added.length);
  result.set(bytes.subarray(0, at));
  result.set(added, at);
  result.set(bytes.subarray(at), at + added.length);
  return result;
}
