import { Elysia } from "elysia";
import type { DeepReport, HealthSource } from "#src/ports/health.ts";
import { jsonReply } from "./reply.ts";

/** What these routes tell. */
export interface HealthRouteDeps {
  health: HealthSource;
  deepHealth: () => Promise<DeepReport>;
}

/**
 * `/health/live`: the process answers. `/health/ready`: it can do its work, and if not, why. `/health/deep`: it has been doing
 * it, and the homeserver as well; for people and alarms, not for whoever takes servers out of service.
 */
export function healthRoutes(deps: HealthRouteDeps) {
  return new Elysia()
    .get("/health/live", () => jsonReply(200, { status: "live" }))
    .get("/health/ready", async () => {
      const report = await deps.health.report();
      return jsonReply(report.ready ? 200 : 503, {
        status: report.ready ? "ready" : "not ready",
        checks: report.checks,
      });
    })
    .get("/health/deep", async () => {
      const { ready, ...report } = await deps.deepHealth();
      return jsonReply(ready ? 200 : 503, { status: ready ? "well" : "unwell", ...report });
    });
}
