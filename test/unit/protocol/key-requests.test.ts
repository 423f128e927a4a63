import { describe, expect, test } from "bun:test";
import { withoutCancelled } from "#src/protocol/key-requests.ts";

const encoder = new TextEncoder();
const message = (value: unknown) => ({
  json: encoder.encode(typeof value === "string" ? value : JSON.stringify(value)),
});
const request = (action: string, id: unknown = "r", more: Record<string, unknown> = {}) =>
  message({
    type: "m.room_key_request",
    sender: "@a:hs",
    content: { action, request_id: id, requesting_device_id: "D" },
    ...more,
  });

describe("withoutCancelled", () => {
  test("[TOD-17] a request and its cancellation go together, by sender, device and id", () => {
    const others = [
      request("request", "other"),
      request("request_cancellation", "nobody's"),
      request("request_cancellation", "r", { sender: "@b:hs" }),
    ];
    const messages = [request("request"), ...others, request("request_cancellation")];
    expect(withoutCancelled(messages, () => true)).toEqual(others);
    expect(withoutCancelled(messages, () => false)).toBe(messages);
  });

  test("[TOD-18] anything else is left as it is: other types, odd contents, what is no JSON", () => {
    const messages = [
      message({ type: "m.room.encrypted", content: { text: "m.room_key_request" } }),
      message('{"type":"m.room_key_request","content":'),
      message({ type: "m.room_key_request" }),
      request("request", 7),
      request("request_cancellation", 7),
      request("request", ""),
      request("request_cancellation", ""),
      message("[]"),
    ];
    expect(withoutCancelled(messages, () => true)).toBe(messages);
  });
});
