import { parseRoomId, type RoomId } from "#src/protocol/ids.ts";
import { claimedStreamPos } from "#src/protocol/pos.ts";
import type { TokenSide } from "#src/ports/front.ts";

/** A `pos` of ours where the homeserver expects a token of its own. */
export interface PosUse {
  name: "from" | "to";
  pos: string;
  /** What else the token may be: one of a moment after or before that of `pos`. What is told twice does no harm, a hole does. */
  side: TokenSide;
}

/** Requests that page through a room, or through what relates to an event of it. */
const PAGING = /^\/_matrix\/client\/(?:r0|v\d+|unstable)\/rooms\/([^/]+)\/(?:messages|relations\/.+)$/;

/** Where a request names positions of sliding sync; null for all the others, which stay as they are. */
export function posUsesOf(method: string, target: string): { roomId: RoomId; uses: PosUse[] } | null {
  const start = target.indexOf("?");
  if (method !== "GET" || start === -1) return null;
  const room = PAGING.exec(target.slice(0, start))?.[1];
  const roomId = room === undefined ? null : parseRoomId(decoded(room));
  if (roomId === null) return null;
  const query = new URLSearchParams(target.slice(start + 1));
  const isBackwards = query.get("dir") !== "f";
  const uses = (["from", "to"] as const).flatMap((name): PosUse[] => {
    const pos = query.get(name);
    if (pos === null || claimedStreamPos(pos) === null) return [];
    return [{ name, pos, side: isBackwards === (name === "from") ? "later" : "earlier" }];
  });
  return uses.length === 0 ? null : { roomId, uses };
}

/** The request with tokens in place of positions, or, where that is "", without them; every other byte as it was. */
export function withTokens(target: string, tokens: ReadonlyMap<PosUse["name"], string>): string {
  const start = target.indexOf("?") + 1;
  const parts = target.slice(start).split("&");
  const replaced = parts.flatMap((part) => {
    const [name = ""] = part.split("=", 1);
    const token = tokens.get(decoded(name) as PosUse["name"]);
    if (token === "") return [];
    return [token === undefined ? part : `${name}=${encodeURIComponent(token)}`];
  });
  return target.slice(0, start) + replaced.join("&");
}

function decoded(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return "";
  }
}
