import type { UserId } from "#src/protocol/ids.ts";
import { asObject, asText, parseJson } from "./json.ts";

/** What an invite or knock says of the user's own membership. */
export interface OwnStripped {
  sender: string;
  ts: number;
  isDirect: boolean;
}

/** Finds the user's own member event in stripped state; null when there is none. */
export function findOwnStripped(stripped: Uint8Array, userId: UserId): OwnStripped | null {
  const events = parseJson(stripped);
  if (!Array.isArray(events)) return null;
  for (const value of events as unknown[]) {
    const event = asObject(value);
    if (event["type"] !== "m.room.member" || event["state_key"] !== userId) continue;
    const ts = event["origin_server_ts"];
    return {
      sender: asText(event["sender"]) ?? "",
      ts: typeof ts === "number" ? ts : 0,
      isDirect: asObject(event["content"])["is_direct"] === true,
    };
  }
  return null;
}
