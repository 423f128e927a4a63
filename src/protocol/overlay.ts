import { isObjectAt, lastMember, memberPlaces, skipSpace } from "./json-members.ts";

const encoder = new TextEncoder();
const CLOSE = 0x7d;

/**
 * The event with `unsigned.transaction_id` set: the one member that belongs to the sending device alone and is
 * therefore not stored with the event (I3). All other bytes stay as they are.
 */
export function withTransactionId(event: Uint8Array, txnId: string): Uint8Array {
  const member = `"transaction_id":${JSON.stringify(txnId)}`;
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
