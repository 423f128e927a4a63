import type { UserRoom } from "../room-meta.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** The stripped state of an invite or knock as it was received, with the user's own member event, by which clients tell the two apart. */
export function strippedWithOwnMember({ stripped, userId, membership, memberSender }: UserRoom): Uint8Array {
  const text = stripped === null ? "[]" : decoder.decode(stripped).trim();
  if (stripped !== null && hasOwnMember(text, userId)) return stripped;
  const own = JSON.stringify({
    type: "m.room.member",
    state_key: userId,
    sender: memberSender === "" ? userId : memberSender,
    content: { membership },
  });
  const inner = text.startsWith("[") && text.endsWith("]") ? text.slice(1, -1).trim() : "";
  return encoder.encode(inner === "" ? `[${own}]` : `[${inner},${own}]`);
}

function hasOwnMember(text: string, userId: string): boolean {
  let events: unknown;
  try {
    events = JSON.parse(text);
  } catch {
    return false;
  }
  if (!Array.isArray(events)) return false;
  return events.some((event: unknown) => {
    if (typeof event !== "object" || event === null) return false;
    return "type" in event && event.type === "m.room.member" && "state_key" in event && event.state_key === userId;
  });
}
