import type { ForwardedEffect } from "#src/ports/front.ts";
import { parseRoomId } from "#src/protocol/ids.ts";

/** The few kinds of request that metrics and logs tell apart; a path may name users and rooms, this never does. */
export type RouteClass =
  | "sync"
  | "media"
  | "keys"
  | "rooms"
  | "client"
  | "federation"
  | "admin"
  | "well-known"
  | "other";

const NEWS: ForwardedEffect = { type: "news" };

/** `/_matrix/client/v3/…`, older prefixes, and unstable ones with or without the name of a proposal. */
const CLIENT = /^\/_matrix\/client\/(?:r0|v\d+|unstable(?:\/(?!user\/|rooms\/|keys\/)[^/]+\.[^/]+)?)\/(.*)$/;

/** Of the path alone. */
export function routeClassOf(path: string): RouteClass {
  if (path.startsWith("/_matrix/media/") || path.startsWith("/_matrix/client/v1/media/")) return "media";
  if (path.startsWith("/_matrix/federation/") || path.startsWith("/_matrix/key/")) return "federation";
  if (path.startsWith("/_synapse/")) return "admin";
  if (path.startsWith("/.well-known/")) return "well-known";
  if (!path.startsWith("/_matrix/client/")) return "other";
  const rest = CLIENT.exec(path)?.[1] ?? "";
  if (rest === "sync") return "sync";
  if (rest.startsWith("keys/") || rest.startsWith("room_keys/")) return "keys";
  return rest.startsWith("rooms/") ? "rooms" : "client";
}

interface EffectRule {
  method: "POST" | "PUT" | "DELETE" | "ANY";
  path: RegExp;
  effect: (match: RegExpExecArray) => ForwardedEffect;
}

const news = (): ForwardedEffect => NEWS;

/** The first that matches counts. */
const RULES: readonly EffectRule[] = [
  // An upload does not end a waiting poll, and clients upload once more when counts are old.
  { method: "POST", path: /^keys\/(?:upload|device_signing\/upload|signatures\/upload)(?:\/[^/]*)?$/, effect: news },
  { method: "POST", path: /^rooms\/([^/]+)\/forget$/, effect: forgot },
  { method: "POST", path: /^rooms\/[^/]+\/(?:join|leave|read_markers|receipt\/[^/]+\/[^/]+)$/, effect: news },
  { method: "POST", path: /^(?:join|knock)\/[^/]+$/, effect: news },
  { method: "POST", path: /^createRoom$/, effect: news },
  { method: "ANY", path: /^user\/[^/]+\/(?:rooms\/[^/]+\/)?account_data\/[^/]+$/, effect: news },
  { method: "ANY", path: /^user\/[^/]+\/rooms\/[^/]+\/tags\/[^/]+$/, effect: news },
  { method: "PUT", path: /^sendToDevice\/[^/]+\/[^/]+$/, effect: news },
  { method: "POST", path: /^logout$/, effect: () => ({ type: "logged-out" }) },
  { method: "POST", path: /^logout\/all$/, effect: () => ({ type: "logged-out-everywhere" }) },
];

/** What follows when the homeserver carries this request out; null for the many that change nothing we poll for. */
export function effectOf(method: string, path: string): ForwardedEffect | null {
  if (method === "GET" || method === "HEAD" || method === "OPTIONS") return null;
  const rest = CLIENT.exec(path)?.[1];
  if (rest === undefined) return null;
  for (const rule of RULES) {
    if (rule.method !== "ANY" && rule.method !== method) continue;
    const match = rule.path.exec(rest);
    if (match !== null) return rule.effect(match);
  }
  return null;
}

function forgot(match: RegExpExecArray): ForwardedEffect {
  const roomId = parseRoomId(decoded(match[1] ?? ""));
  return roomId === null ? NEWS : { type: "forgot-room", roomId };
}

function decoded(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    return "";
  }
}
