import { Elysia } from "elysia";
import { SyncError } from "#src/errors.ts";
import { consoleRoutes, type ConsoleRouteDeps } from "./console-route.ts";
import { matrixError } from "./matrix-error.ts";
import { messageOf } from "./reply.ts";
import { readJsonBody } from "./read-json-body.ts";
import type { AdminStore } from "#src/ports/admin-store.ts";
import type { Clock, Logger, Metrics, Timers } from "#src/ports/basics.ts";
import type { RepairTarget } from "#src/ports/repair.ts";
import { type ConnId, type DeviceId, parseRoomId, parseUserId, type UserId } from "#src/protocol/ids.ts";
import { operatorCheck } from "./admin-auth.ts";
import type { AdminService } from "#src/admin/admin-service.ts";
import { ADMIN_ROOT, type Done, type ResyncStarted } from "#src/admin/api.ts";

/** What the listener for operators is made of. */
export interface AdminAppDeps {
  service: AdminService;
  /** null = whoever reaches the listener is an operator. */
  token: string | null;
  /** Served below `/client/`. */
  console: ConsoleRouteDeps;
  store: Pick<AdminStore, "saveAudit">;
  clock: Clock;
  timers: Timers;
  log: Logger;
  metrics: Pick<Metrics, "count">;
}

/** Answers a request; `remote` is the address it came from. */
export type AdminHandler = (request: Request, remote: string) => Promise<Response>;

const DEFAULT_LIMIT = 50;
const MOST_LIMIT = 500;
const DEFAULT_PROFILE_SECS = 10;
const MOST_PROFILE_SECS = 120;
/** Whoever guesses tokens fills no log: so often it is told that somebody was refused, and how many were since. */
const REFUSED_EVERY_MS = 60_000;
const LOGGED_PATH_CHARS = 200;
/** Browsers may show it to nobody but the console, and keep nothing. No CORS: other origins have no business here. */
const API_HEADERS = {
  "cache-control": "no-store",
  "x-content-type-options": "nosniff",
  "content-security-policy": "default-src 'none'; frame-ancestors 'none'",
  "cross-origin-resource-policy": "same-origin",
};

/** What an operator wants done, for the audit log. */
interface Action {
  name: string;
  target: string;
}

/** The listener of `SYNCV3_ADMIN`: the admin API below `/admin/v1`, and the console. */
export function createAdminApp(deps: AdminAppDeps): AdminHandler {
  const { service } = deps;
  const checkOperator = operatorCheck(deps.token);
  const remotes = new WeakMap<Request, string>();
  const refused = refusalTeller(deps);

  const check = (request: Request): void => {
    try {
      checkOperator(request);
    } catch (error) {
      refused(new URL(request.url).pathname, remotes.get(request) ?? "");
      throw error;
    }
  };

  const reading =
    (read: (context: Context) => unknown) =>
    (context: Context): Promise<Response> =>
      answered(deps, context.request, async () => {
        check(context.request);
        return jsonReply(200, await read(context));
      });

  const doing =
    (read: (context: Context) => Promise<{ action: Action; run: () => Promise<unknown> }>) =>
    (context: Context): Promise<Response> =>
      answered(deps, context.request, async () => {
        check(context.request);
        const { action, run } = await read(context);
        const remote = remotes.get(context.request) ?? "";
        // It may be the last that this process does.
        deps.log.info({ action: action.name, target: action.target, remote }, "admin action begun");
        try {
          const result = await run();
          await audit(deps, action, remote, "done");
          return result instanceof Response ? result : jsonReply(200, result);
        } catch (error) {
          await audit(deps, action, remote, error instanceof SyncError ? error.message : "failed");
          throw error;
        }
      });

  const setPaused = (name: string, isPaused: boolean) =>
    doing(async ({ params }) => {
      const { userId, deviceId } = deviceOf(params);
      return {
        action: { name, target: `${userId} ${deviceId}` },
        run: async () => {
          await service.setPaused(userId, deviceId, isPaused);
          return DONE;
        },
      };
    });

  const app = new Elysia({ strictPath: true })
    .onError(({ error }) => {
      deps.log.error({ error: messageOf(error) }, "admin request failed outside its route");
      return errorReply(new SyncError("internal", "request failed"));
    })
    .group(ADMIN_ROOT, (api) =>
      api
        .get(
          "/overview",
          reading(() => service.overview()),
        )
        .get(
          "/pollers",
          reading(({ query }) => service.pollers(listQuery(query, ["state", "userId"]))),
        )
        .get(
          "/first-syncs",
          reading(({ query }) => service.firstSyncs(listQuery(query, []))),
        )
        .get(
          "/connections",
          reading(({ query }) => service.connections(listQuery(query, ["state", "userId"]))),
        )
        .get(
          "/quarantine",
          reading(({ query }) => service.quarantine(newestQuery(query))),
        )
        .get(
          "/database",
          reading(() => service.database()),
        )
        .get(
          "/slow-requests",
          reading(() => service.slowRequests()),
        )
        .get(
          "/upstream",
          reading(() => service.upstream()),
        )
        .get(
          "/users/:userId",
          reading(({ params }) => service.user(userOf(params["userId"]))),
        )
        .get(
          "/audit",
          reading(({ query }) => service.audit(newestQuery(query))),
        )
        .get(
          "/resyncs",
          reading(() => service.resyncs()),
        )
        .post(
          "/resync",
          doing(async ({ request }) => {
            const target = readTarget(await readJsonBody(request, deps.timers, false));
            return {
              action: { name: "resync", target: `${target.kind} ${target.target}`.trim() },
              run: async (): Promise<ResyncStarted> => ({ id: await service.resync(target) }),
            };
          }),
          { parse: "none" },
        )
        .post("/pollers/:userId/:deviceId/pause", setPaused("pause-poller", true), { parse: "none" })
        .post("/pollers/:userId/:deviceId/resume", setPaused("resume-poller", false), { parse: "none" })
        .delete(
          "/connections/:userId/:deviceId/:connId",
          doing(async ({ params }) => dropConnection(service, params)),
          { parse: "none" },
        )
        .delete(
          "/connections/:userId/:deviceId/",
          // Most clients give their connection no name.
          doing(async ({ params }) => dropConnection(service, { ...params, connId: "" })),
          { parse: "none" },
        )
        .post(
          "/profile/cpu",
          doing(async ({ query }) => {
            const host = query["host"] ?? "main:0";
            const seconds = integerOf(query["seconds"], "seconds", DEFAULT_PROFILE_SECS, MOST_PROFILE_SECS);
            return {
              action: { name: "profile-cpu", target: `${host} ${seconds} s` },
              run: async () =>
                download(await service.profileCpu(host, seconds), `${fileName(host, deps.clock)}.cpuprofile`),
            };
          }),
          { parse: "none" },
        )
        .post(
          "/profile/heap",
          doing(async ({ query }) => {
            const host = query["host"] ?? "main:0";
            return {
              action: { name: "profile-heap", target: host },
              run: async () => download(await service.snapshotHeap(host), `${fileName(host, deps.clock)}.heapsnapshot`),
            };
          }),
          { parse: "none" },
        ),
    )
    .get("/", () => new Response(null, { status: 302, headers: { location: "/client/" } }))
    .use(consoleRoutes(deps.console))
    .all("/*", () => errorReply(new SyncError("unrecognized", "Unrecognized request")));

  return async (request, remote) => {
    remotes.set(request, remote);
    return app.handle(request);
  };
}

/** A request as its route sees it. */
interface Context {
  request: Request;
  params: Readonly<Record<string, string>>;
  query: Readonly<Record<string, string | undefined>>;
}

/** Whatever happens becomes an answer; what went wrong on our side is told in the log. */
async function answered(deps: AdminAppDeps, request: Request, run: () => Promise<Response>): Promise<Response> {
  try {
    return await run();
  } catch (error) {
    const failure = error instanceof SyncError ? error : new SyncError("internal", String(error), { cause: error });
    const reply = errorReply(failure);
    if (reply.status >= 500) {
      deps.log.error(
        { path: new URL(request.url).pathname, code: failure.code, error: failure.message },
        "admin request failed",
      );
    }
    return reply;
  }
}

/** Counts every request that is refused, and tells of them in the log now and then. */
function refusalTeller({ clock, log, metrics }: AdminAppDeps): (path: string, remote: string) => void {
  let toldMs = Number.NEGATIVE_INFINITY;
  let untold = 0;
  return (path, remote) => {
    metrics.count("admin_requests_refused_total", 1);
    untold += 1;
    if (clock.mono() - toldMs < REFUSED_EVERY_MS) return;
    log.warn({ path: path.slice(0, LOGGED_PATH_CHARS), remote, refused: untold }, "admin request refused");
    toldMs = clock.mono();
    untold = 0;
  };
}

/** In the log always; in the database when that can be reached. */
async function audit(deps: AdminAppDeps, { name, target }: Action, remote: string, result: string): Promise<void> {
  deps.log.info({ action: name, target, remote, result }, "admin action");
  try {
    await deps.store.saveAudit({ atMs: deps.clock.now(), action: name, target, remote, result });
  } catch (error) {
    deps.log.error({ action: name, error: String(error) }, "admin action could not be written to the audit log");
  }
}

const DONE: Done = { done: true };

async function dropConnection(
  service: AdminService,
  params: Readonly<Record<string, string>>,
): Promise<{ action: Action; run: () => Promise<unknown> }> {
  const { userId, deviceId } = deviceOf(params);
  const connId = (params["connId"] ?? "") as ConnId;
  return {
    action: { name: "drop-connection", target: `${userId} ${deviceId} ${connId}`.trim() },
    run: async () => {
      await service.dropConnection(userId, deviceId, connId);
      return DONE;
    },
  };
}

const jsonReply = (status: number, value: unknown): Response =>
  new Response(JSON.stringify(value), { status, headers: { ...API_HEADERS, "content-type": "application/json" } });

function errorReply(error: SyncError): Response {
  const { status, body, retryAfterSecs } = matrixError(error.code, error.message);
  const retry = retryAfterSecs === null ? {} : { "retry-after": String(retryAfterSecs) };
  return new Response(body, { status, headers: { ...API_HEADERS, ...retry, "content-type": "application/json" } });
}

const download = (bytes: Uint8Array<ArrayBuffer>, name: string): Response =>
  new Response(bytes, {
    headers: {
      ...API_HEADERS,
      "content-type": "application/json",
      "content-disposition": `attachment; filename="${name}"`,
    },
  });

const fileName = (host: string, clock: Clock): string =>
  `glissade-${host.replaceAll(/[^a-z0-9]+/gi, "-")}-${new Date(clock.now()).toISOString().replaceAll(/[:.]/g, "-")}`;

function userOf(text: string | undefined): UserId {
  const userId = parseUserId(text);
  if (userId === null) throw new SyncError("invalid_param", "write a user id: @user:server");
  return userId;
}

/** A token without a device is one whose device has the empty name, which no path can hold: `-` stands for it. */
function deviceOf(params: Readonly<Record<string, string>>): { userId: UserId; deviceId: DeviceId } {
  const deviceId = params["deviceId"] ?? "";
  return { userId: userOf(params["userId"]), deviceId: (deviceId === "-" ? "" : deviceId) as DeviceId };
}

function readTarget(body: unknown): RepairTarget {
  const { kind, target = "" } = (typeof body === "object" && body !== null ? body : {}) as Record<string, unknown>;
  if (kind === "all" && target === "") return { kind, target };
  if (kind === "room" && parseRoomId(target) !== null) return { kind, target: String(target) };
  if (kind === "user" && parseUserId(target) !== null) return { kind, target: String(target) };
  throw new SyncError("invalid_param", 'write kind ("room", "user" or "all") and target (a room id, a user id, or "")');
}

function listQuery(query: Context["query"], names: readonly string[]): Parameters<AdminService["pollers"]>[0] {
  const where: Record<string, string> = {};
  for (const name of names) {
    const value = query[name];
    if (value !== undefined && value !== "") where[name] = value;
  }
  return { after: query["after"] ?? null, limit: limitOf(query), where };
}

function newestQuery(query: Context["query"]): { before: number | null; limit: number } {
  const { after } = query;
  const before = after === undefined ? null : integerOf(after, "after", 0, Number.MAX_SAFE_INTEGER);
  return { before, limit: limitOf(query) };
}

const limitOf = (query: Context["query"]): number => integerOf(query["limit"], "limit", DEFAULT_LIMIT, MOST_LIMIT);

function integerOf(text: string | undefined, name: string, fallback: number, most: number): number {
  if (text === undefined || text === "") return fallback;
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || value < 1 || value > most) {
    throw new SyncError("invalid_param", `${name} is a whole number from 1 to ${most}`);
  }
  return value;
}
