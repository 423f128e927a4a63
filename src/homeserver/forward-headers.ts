/** Names and values in turn, as they came over the wire. */
export type RawHeaders = readonly string[];

/** They end at each hop (RFC 9110, 7.6.1). */
const HOP_BY_HOP = new Set([
  "connection",
  "http2-settings",
  "keep-alive",
  "proxy-authenticate",
  "proxy-authorization",
  "proxy-connection",
  "te",
  "trailer",
  "transfer-encoding",
  "upgrade",
]);

/** Never taken away because a `Connection` header names it: without it the next hop reads another message. */
const ESSENTIAL = new Set(["content-length", "host"]);

/** Says which Glissade a request has passed, so that it does not pass it for ever. */
export const FRONT_HEADER = "x-glissade-front";

/** Of whom a request came, for whoever is behind us. */
export interface Sender {
  /** null on a unix socket. */
  address: string | null;
  scheme: "http" | "https";
}

/** Of these, a request that says nothing of a body would be given an empty one in chunks, which some servers refuse. */
const WITH_BODIES = new Set(["POST", "PUT", "PATCH"]);

/** What the homeserver gets: all but what ends here, and where it came from. */
export function forwardedRequestHeaders(method: string, raw: RawHeaders, sender: Sender): string[] {
  const headers: string[] = [];
  let isChunked = false;
  let hasLength = false;
  let hasProto = false;
  let senders = "";
  const dropped = droppedOf(raw);
  for (const [name, value] of pairs(raw)) {
    const lower = name.toLowerCase();
    if (lower === "transfer-encoding") isChunked = true;
    if (lower === "content-length") hasLength = true;
    // It was answered here, and the body is on its way.
    if (dropped.has(lower) || lower === "expect") continue;
    if (lower === "x-forwarded-for") {
      senders = senders === "" ? value : `${senders}, ${value}`;
      continue;
    }
    if (lower === "x-forwarded-proto") hasProto = true;
    headers.push(name, value);
  }
  if (sender.address !== null) senders = senders === "" ? sender.address : `${senders}, ${sender.address}`;
  if (senders !== "") headers.push("X-Forwarded-For", senders);
  if (!hasProto) headers.push("X-Forwarded-Proto", sender.scheme);
  if (isChunked) headers.push("Transfer-Encoding", "chunked");
  else if (!hasLength && WITH_BODIES.has(method)) headers.push("Content-Length", "0");
  return headers;
}

/** What the client gets of the homeserver's headers. */
export function forwardedResponseHeaders(raw: RawHeaders): string[] {
  const dropped = droppedOf(raw);
  const headers: string[] = [];
  for (const [name, value] of pairs(raw)) {
    if (!dropped.has(name.toLowerCase())) headers.push(name, value);
  }
  return headers;
}

/** The first value of a header; null without. */
export function headerOf(raw: RawHeaders, wanted: string): string | null {
  for (const [name, value] of pairs(raw)) if (name.toLowerCase() === wanted) return value;
  return null;
}

function droppedOf(raw: RawHeaders): ReadonlySet<string> {
  let dropped = HOP_BY_HOP;
  for (const [name, value] of pairs(raw)) {
    if (name.toLowerCase() !== "connection") continue;
    const named = value
      .split(",")
      .map((token) => token.trim().toLowerCase())
      .filter((token) => !ESSENTIAL.has(token) && !HOP_BY_HOP.has(token) && token !== "close" && token !== "");
    if (named.length > 0) dropped = new Set([...dropped, ...named]);
  }
  return dropped;
}

function* pairs(raw: RawHeaders): Generator<readonly [string, string]> {
  for (let index = 0; index + 1 < raw.length; index += 2) yield [raw[index] ?? "", raw[index + 1] ?? ""];
}
