import { type Accounts, rememberAnswer, type Session } from "./accounts.ts";
import { isJson, type Json, MatrixError } from "./wire.ts";

/** One request on its way to a handler. */
export interface RouteContext {
  readonly request: Request;
  readonly query: URLSearchParams;
  /** The access token of the header or the query. */
  readonly accessToken: string | null;
  /** A path parameter, decoded. */
  param(name: string): string;
  /** Who asks; throws 401. */
  session(): Session;
  /** The body; an absent one is empty; throws 400 for anything but an object. */
  json(): Promise<Json>;
  /** Runs `work` once for each device and path, and gives its answer again to repetitions. */
  once(work: (session: Session, body: Json) => Json): Promise<Json>;
}

/** An endpoint below `/_matrix/client/{version}`. */
export interface Route {
  method: "GET" | "PUT" | "POST" | "DELETE";
  /** Segments; those that start with `:` are parameters. */
  path: string;
  handle: (context: RouteContext) => Response | Json | Promise<Response | Json>;
}

interface CompiledRoute {
  route: Route;
  segments: readonly string[];
}

/** A route found for a path, with its parameters. */
export interface Match {
  route: Route;
  params: ReadonlyMap<string, string>;
}

const API_PREFIX = /^\/_matrix\/client\/(?<version>r0|v1|v3|unstable)(?<rest>\/.*)$/u;

/** Finds routes by method and path. */
export class Router {
  readonly #routes = new Map<string, CompiledRoute[]>();
  readonly #versions: ReadonlySet<string>;

  constructor(routes: readonly Route[], apiVersions: readonly string[]) {
    this.#versions = new Set(apiVersions);
    for (const route of routes) {
      const segments = route.path.split("/").slice(1);
      const key = `${route.method} ${segments.length}`;
      const bucket = this.#routes.get(key) ?? [];
      bucket.push({ route, segments });
      this.#routes.set(key, bucket);
    }
  }

  /** null when nothing answers to this method and path. */
  match(method: string, pathname: string): Match | null {
    const groups = API_PREFIX.exec(pathname)?.groups;
    if (groups?.["version"] === undefined || !this.#versions.has(groups["version"])) return null;
    const actual = (groups["rest"] ?? "").split("/").slice(1);
    for (const { route, segments } of this.#routes.get(`${method} ${actual.length}`) ?? []) {
      const params = matchSegments(segments, actual);
      if (params !== null) return { route, params };
    }
    return null;
  }
}

function matchSegments(pattern: readonly string[], actual: readonly string[]): Map<string, string> | null {
  const params = new Map<string, string>();
  for (const [index, expected] of pattern.entries()) {
    const segment = decodeURIComponent(actual[index] ?? "");
    if (expected.startsWith(":")) params.set(expected.slice(1), segment);
    else if (expected !== segment) return null;
  }
  return params;
}

/** The access token a request carries. */
export function accessTokenOf(request: Request, query: URLSearchParams): string | null {
  const header = request.headers.get("authorization");
  if (header !== null) return header.replace(/^Bearer\s+/iu, "");
  return query.get("access_token");
}

async function readJson(request: Request): Promise<Json> {
  const text = await request.text();
  if (text.trim() === "") return {};
  const parsed: unknown = await new Response(text).json().catch(() => {
    throw new MatrixError(400, "M_NOT_JSON", "Content not JSON.");
  });
  if (!isJson(parsed)) throw new MatrixError(400, "M_BAD_JSON", "Content must be a JSON object.");
  return parsed;
}

/** Wraps a request for its handler. */
export function makeContext(
  request: Request,
  url: URL,
  params: ReadonlyMap<string, string>,
  accounts: Accounts,
): RouteContext {
  const accessToken = accessTokenOf(request, url.searchParams);
  const session = (): Session => accounts.authenticate(accessToken);
  return {
    request,
    query: url.searchParams,
    accessToken,
    param: (name) => params.get(name) ?? "",
    session,
    json: () => readJson(request),
    once: async (work) => {
      const { device } = session();
      const key = `${request.method} ${url.pathname}`;
      const body = await readJson(request);
      const known = device.answers.get(key);
      if (known !== undefined) return known;
      const answer = work(session(), body);
      rememberAnswer(device, key, answer);
      return answer;
    },
  };
}
