import { Elysia } from "elysia";
import { SyncError } from "#src/errors.ts";
import type { Logger } from "#src/ports/basics.ts";
import { errorReply, messageOf } from "./reply.ts";

/** The listener of `SYNCV3_PROM`. */
export function createMetricsApp(deps: { scrape: () => Promise<string>; log: Logger }) {
  return new Elysia({ strictPath: true })
    .onError(({ error }) => {
      deps.log.error({ error: messageOf(error) }, "metrics could not be collected");
      return errorReply(new SyncError("internal", "metrics could not be collected"));
    })
    .get(
      "/metrics",
      async () =>
        new Response(await deps.scrape(), { headers: { "content-type": "text/plain; version=0.0.4; charset=utf-8" } }),
    )
    .all("/*", () => errorReply(new SyncError("unrecognized", "only /metrics is here")));
}
