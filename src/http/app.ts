import { Elysia } from "elysia";
import { SyncError } from "#src/errors.ts";
import { consoleRoutes, type ConsoleRouteDeps } from "./console-route.ts";
import { type HealthRouteDeps, healthRoutes } from "./health-route.ts";
import { errorReply, messageOf, preflightReply } from "./reply.ts";
import { serverRoutes } from "./server-route.ts";
import type { ServerInfo } from "./server-route.ts";
import { syncRoutes } from "./sync-route.ts";
import type { SyncRouteDeps } from "./sync-route.ts";
import { versionsRoutes } from "./versions-route.ts";
import type { VersionsRouteDeps } from "./versions-route.ts";

/** Everything the main listener serves needs. */
export interface AppDeps extends SyncRouteDeps, VersionsRouteDeps, HealthRouteDeps {
  serverInfo: ServerInfo;
  /** Left out where no console is wanted. */
  console?: ConsoleRouteDeps;
}

/** The main listener's routes; every reply they make comes from `reply.ts`, and so carries CORS headers. */
export function createApp(deps: AppDeps) {
  return (
    new Elysia({ strictPath: true })
      // Before the routes: hooks apply to what is registered after them.
      .onError(({ error, path }) => {
        deps.log.error({ path, error: messageOf(error) }, "request failed outside its route");
        return errorReply(new SyncError("internal", "request failed"));
      })
      .options("/*", preflightReply)
      .use(syncRoutes(deps))
      .use(versionsRoutes(deps))
      .use(healthRoutes(deps))
      .use(serverRoutes(deps))
      .use(deps.console === undefined ? new Elysia() : consoleRoutes(deps.console))
      .all("/*", () => errorReply(new SyncError("unrecognized", "Unrecognized request")))
  );
}
