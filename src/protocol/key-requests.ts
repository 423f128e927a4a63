import { asObject, member } from "./json-value.ts";

const NAME = "m.room_key_request";
const decoder = new TextDecoder();

interface KeyRequest {
  /** The same for a request and its cancellation. */
  key: string;
  isCancellation: boolean;
}

/**
 * Leaves out key requests that are cancelled among the same messages, together with their cancellations: they need nobody's
 * attention. Only those for which `mayDrop` holds, for one that was sent has to be cancelled.
 */
export function withoutCancelled<T extends { json: Uint8Array }>(
  messages: readonly T[],
  mayDrop: (request: T) => boolean,
): readonly T[] {
  const open = new Map<string, T>();
  const dropped = new Set<T>();
  for (const message of messages) {
    const request = readKeyRequest(message.json);
    if (request === null) continue;
    const pending = open.get(request.key);
    if (!request.isCancellation) open.set(request.key, message);
    else if (pending !== undefined) {
      open.delete(request.key);
      if (mayDrop(pending)) dropped.add(pending).add(message);
    }
  }
  return dropped.size === 0 ? messages : messages.filter((message) => !dropped.has(message));
}

/** Reads a key request or its cancellation; null for other messages. */
function readKeyRequest(json: Uint8Array): KeyRequest | null {
  const text = decoder.decode(json);
  // Nearly all messages are something else: they are not parsed.
  const message = text.includes(NAME) ? asObject(parse(text)) : null;
  if (member(message, "type") !== NAME) return null;
  const content = asObject(member(message, "content"));
  const requestId = member(content, "request_id");
  if (typeof requestId !== "string" || requestId === "") return null;
  return {
    key: JSON.stringify([member(message, "sender"), member(content, "requesting_device_id"), requestId]),
    isCancellation: member(content, "action") === "request_cancellation",
  };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return null;
  }
}
