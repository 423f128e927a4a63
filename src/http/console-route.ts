import { Elysia } from "elysia";
import { SyncError } from "#src/errors.ts";
import {
  CONSOLE_ENCODINGS,
  type ConsoleEncoding,
  type ConsoleFile,
  type ConsoleFiles,
  type ConsoleSettings,
} from "#src/ports/console.ts";
import { errorReply, plainReply, preflightReply } from "./reply.ts";

/** What the console's routes need of the outside. */
export interface ConsoleRouteDeps {
  files: ConsoleFiles;
  settings: ConsoleSettings;
}

const ROOT = "/client/";
const YEAR_SECS = 31_536_000;

/** Makes a reply; to whom it may be shown is decided once. */
type Reply = (
  status: number,
  headers: Readonly<Record<string, string>>,
  body: Uint8Array<ArrayBuffer> | string | null,
) => Response;

/** `/client/`: the web console, and what it has to know of this server (`console.json`). */
export function consoleRoutes({ files, settings }: ConsoleRouteDeps) {
  const headers = securityHeaders(settings.homeservers);
  const about = JSON.stringify(settings);
  // Of what operators are served, pages of other origins read nothing.
  const reply: Reply = settings.hasAdmin
    ? (status, own, body) => new Response(body, { status, headers: own })
    : plainReply;
  return new Elysia({ strictPath: true })
    .get("/client", () => reply(308, { ...headers, location: ROOT }, null))
    .get(`${ROOT}console.json`, () =>
      reply(200, { ...headers, "content-type": "application/json", "cache-control": "no-cache" }, about),
    )
    .all(`${ROOT}*`, async ({ request }) => {
      if (request.method === "OPTIONS") return preflightReply();
      if (request.method !== "GET" && request.method !== "HEAD") {
        return errorReply(new SyncError("method_not_allowed", "use GET"));
      }
      const file = await files.find(new URL(request.url).pathname.slice(ROOT.length));
      return file === null
        ? errorReply(new SyncError("unrecognized", "the console has no such file"))
        : fileReply(reply, file, request, headers);
    });
}

/** Nothing but our own files and the homeserver's API; no frames, no plugins, no way for markup to become script. */
function securityHeaders(homeservers: readonly string[]): Record<string, string> {
  const api = homeservers.filter((url) => url !== "").map((url) => new URL(url).origin);
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self'",
    "img-src 'self' blob:",
    `connect-src ${["'self'", ...new Set(api)].join(" ")}`,
    "base-uri 'none'",
    "form-action 'none'",
    "frame-ancestors 'none'",
    "require-trusted-types-for 'script'",
    "trusted-types 'none'",
  ];
  return {
    "content-security-policy": policy.join("; "),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "permissions-policy": "camera=(), geolocation=(), microphone=(), payment=(), usb=()",
  };
}

function fileReply(reply: Reply, file: ConsoleFile, request: Request, security: Record<string, string>): Response {
  const encoding = chooseEncoding(file, request.headers.get("accept-encoding") ?? "");
  // Of the encodings of one file, each is a representation of its own.
  const etag = encoding === "identity" ? file.etag : `${file.etag.slice(0, -1)}-${encoding}"`;
  const headers: Record<string, string> = {
    ...security,
    "content-type": file.contentType,
    "cache-control": file.isImmutable ? `public, max-age=${YEAR_SECS}, immutable` : "no-cache",
    vary: "Accept-Encoding",
    etag,
  };
  if (matches(request.headers.get("if-none-match"), etag)) return reply(304, headers, null);
  if (encoding !== "identity") headers["content-encoding"] = encoding;
  return reply(200, headers, request.method === "HEAD" ? null : (file.bodies[encoding] ?? null));
}

/** The best we keep of those the browser takes; a weight of nothing refuses one. */
function chooseEncoding(file: ConsoleFile, accepted: string): ConsoleEncoding {
  const taken = new Set(
    accepted
      .toLowerCase()
      .split(",")
      .filter((item) => !/;\s*q=0(?:\.0*)?\s*$/.test(item))
      .map((item) => item.split(";", 1)[0]?.trim() ?? ""),
  );
  return CONSOLE_ENCODINGS.find((encoding) => taken.has(encoding) && file.bodies[encoding] !== undefined) ?? "identity";
}

/** Proxies that compress anew make an ETag weak. */
const matches = (header: string | null, etag: string): boolean =>
  header !== null && header.split(",").some((item) => [etag, "*"].includes(item.trim().replace(/^W\//, "")));
