import { probeHealth } from "#src/http/probe-health.ts";
import type { Command } from "./command.ts";
import { CONFIG_CHECK } from "./config-check.ts";
import { demoCommand } from "./demo.ts";
import { doctorCommand } from "./doctor.ts";
import { explainCommand } from "./explain.ts";
import { healthcheckCommand } from "./healthcheck.ts";
import {
  backupCommand,
  dbPortCommand,
  dbReopenCommand,
  dbStatsCommand,
  dbVacuumCommand,
  restoreCommand,
} from "./db.ts";
import { importCommand } from "./import.ts";
import { resyncCommand } from "./resync.ts";
import { ROUTES } from "./routes.ts";
import { serveCommand } from "./serve.ts";
import { smokeTestCommand } from "./smoke-test.ts";

/** All there are, in the order of `--help`; what a command does not need is not loaded. */
export const COMMANDS: readonly Command[] = [
  serveCommand(async (config) => (await import("#src/run-main.ts")).runServe(config)),
  demoCommand(async (args) => (await import("#src/demo/run-demo.ts")).runDemo(args)),
  ROUTES,
  CONFIG_CHECK,
  doctorCommand(async (options) => (await import("#src/hosts/doctor-host.ts")).runDoctor(options)),
  resyncCommand(async (config, target, terminal) =>
    (await import("#src/hosts/resync-host.ts")).resync(config, target, terminal),
  ),
  explainCommand(async (config, request, terminal) =>
    (await import("#src/hosts/tools/explain-host.ts")).explain(config, request, terminal),
  ),
  dbStatsCommand(async (config, isJson, terminal) =>
    (await import("#src/hosts/tools/stats-host.ts")).showStats(config, isJson, terminal),
  ),
  dbVacuumCommand(async (config, isFull, terminal) =>
    (await import("#src/hosts/tools/stats-host.ts")).vacuum(config, isFull, terminal),
  ),
  dbPortCommand(async (config, to, terminal) =>
    (await import("#src/hosts/tools/port-host.ts")).port(config, to, terminal),
  ),
  dbReopenCommand(async (config, terminal) =>
    (await import("#src/hosts/tools/reopen-host.ts")).reopen(config, terminal),
  ),
  backupCommand(async (config, path, terminal) =>
    (await import("#src/hosts/tools/backup-host.ts")).backup(config, path, terminal),
  ),
  restoreCommand(async (config, path, terminal) =>
    (await import("#src/hosts/tools/backup-host.ts")).restore(config, path, terminal),
  ),
  importCommand(async (config, request, terminal) =>
    (await import("#src/hosts/tools/import-host.ts")).importDevices(config, request, terminal),
  ),
  healthcheckCommand(probeHealth),
  smokeTestCommand(async () => (await import("#src/hosts/smoke-test.ts")).runSmokeTest()),
];
