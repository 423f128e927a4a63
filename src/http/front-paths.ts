/** One sync endpoint that is served here, and the dialect spoken there. */
export interface SyncEndpoint {
  dialect: "MSC3575" | "simplified" | "MSC4186";
  path: string;
  /** The homeserver serves the same path to other methods: only `POST` is ours. */
  isShared: boolean;
}

/** All of them. Routes, forwarding and the list for reverse proxies are made of this. */
export const SYNC_ENDPOINTS = [
  { dialect: "MSC3575", path: "/_matrix/client/unstable/org.matrix.msc3575/sync", isShared: false },
  { dialect: "MSC3575", path: "/_matrix/client/v3/sync", isShared: true },
  { dialect: "simplified", path: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", isShared: false },
  { dialect: "MSC4186", path: "/_matrix/client/v4/sync", isShared: false },
] as const satisfies readonly SyncEndpoint[];

/** Where clients learn what a server can do. */
export const VERSIONS_PATH = "/_matrix/client/versions";

/** What `/versions` says of us besides what the homeserver says of itself. */
export const ANNOUNCED_FEATURES: readonly string[] = ["org.matrix.msc3575", "org.matrix.simplified_msc3575"];

/** Everything of a homeserver's is below these. */
export const FORWARDED = ["/_matrix", "/_synapse", "/.well-known/matrix"] as const;

const ENDPOINTS: ReadonlyMap<string, SyncEndpoint> = new Map(
  SYNC_ENDPOINTS.map((endpoint) => [endpoint.path, endpoint]),
);

/** The path of a raw request target: no decoding, no dots resolved. */
export function pathOf(target: string): string {
  const end = target.search(/[?#]/);
  return end === -1 ? target : target.slice(0, end);
}

/** Whether a request is answered here although its path is one of the homeserver's. */
function isOurs(method: string, path: string): boolean {
  if (path === VERSIONS_PATH) return method === "GET" || method === "HEAD";
  const endpoint = ENDPOINTS.get(path);
  return endpoint !== undefined && (!endpoint.isShared || method === "POST");
}

/** Whether a request belongs to the homeserver. Bytes decide: `%2e%2e` is no way out of, or into, a path. */
export function isForwarded(method: string, path: string): boolean {
  return FORWARDED.some((root) => path === root || path.startsWith(`${root}/`)) && !isOurs(method, path);
}
