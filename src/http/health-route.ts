import { Elysia } from "elysia";
import type { HealthSource } from "#src/ports/health.ts";
import { jsonReply } from "./reply.ts";

/** `/health/live`: the process answers. `/health/ready`: it can do its work, and if not, why. */
export function healthRoutes(deps: { health: HealthSource }) {
  return new Elysia()
    .get("/health/live", () => jsonReply(200, { status: "live" }))
    .get("/health/ready", async () => {
      const report = await deps.health.report();
      return jsonReply(report.ready ? 200 : 503, {
        status: report.ready ? "ready" : "not ready",
        checks: report.checks,
      });
    });
}
