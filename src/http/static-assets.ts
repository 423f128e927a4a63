/** One file of a web page, at hand. */
export interface Asset {
  body: Uint8Array<ArrayBuffer>;
  /** The same, for clients that take it. */
  gzip?: Uint8Array<ArrayBuffer>;
  /** Value of `content-type`. */
  type: string;
  /** Changes with the content. */
  etag: string;
  /** Its name changes with its content: it may be kept for ever. */
  isImmutable: boolean;
}

/** Files by their path below the page's root; "" is the page itself. */
export type AssetMap = ReadonlyMap<string, Asset>;

const YEAR_SECS = 31_536_000;

/**
 * Nothing from elsewhere, nothing inline, in nobody's frame. `connect` is where the page may send requests besides its own
 * origin: a console that is served by the admin listener talks to clients' endpoints on another one.
 */
export function pageHeaders(connect: readonly string[]): Readonly<Record<string, string>> {
  return {
    "content-security-policy": [
      "default-src 'none'",
      "script-src 'self'",
      "style-src 'self'",
      "img-src 'self' data: blob:",
      "font-src 'self'",
      `connect-src ${["'self'", ...connect].join(" ")}`,
      "manifest-src 'self'",
      "base-uri 'none'",
      "form-action 'none'",
      "frame-ancestors 'none'",
    ].join("; "),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
  };
}

/** A file of the page, or null when there is none of this path. */
export function assetReply(
  assets: AssetMap,
  path: string,
  request: Request,
  headers: Readonly<Record<string, string>>,
): Response | null {
  const asset = assets.get(path);
  if (asset === undefined) return null;
  const shared = {
    ...headers,
    etag: asset.etag,
    vary: "accept-encoding",
    "cache-control": asset.isImmutable ? `public, max-age=${YEAR_SECS}, immutable` : "no-cache",
  };
  if (request.headers.get("if-none-match") === asset.etag) return new Response(null, { status: 304, headers: shared });
  const isZipped = asset.gzip !== undefined && /\bgzip\b/.test(request.headers.get("accept-encoding") ?? "");
  const body = isZipped ? asset.gzip : asset.body;
  return new Response(body ?? asset.body, {
    headers: { ...shared, "content-type": asset.type, ...(isZipped ? { "content-encoding": "gzip" } : {}) },
  });
}
