import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import type { Config, ReadConfig } from "#src/config.ts";
import { DEFAULT_BIND, readConfig } from "#src/config.ts";
import type { Env, ReadFile } from "#src/config/environment.ts";
import { problemsText, variablesHelp } from "#src/config/help.ts";
import { nearestName } from "#src/config/nearest-name.ts";
import { PROXIES, routesSnippet, routesTable } from "#src/http/route-list.ts";
import type { ProxyName } from "#src/http/route-list.ts";
import { probeHealth } from "#src/http/probe-health.ts";
import type { ProbedHealth } from "#src/http/probe-health.ts";
import type { RepairTarget } from "#src/ports/repair.ts";
import { readTarget } from "#src/resync.ts";
import { systemEnv } from "#src/system.ts";
import { FULL_VERSION } from "#src/version.ts";

/** What the process ends with. */
export const EXIT = { ok: 0, failed: 1, unusable: 2 } as const;

/** What the command line needs of the outside. */
export interface CliDeps {
  env: Env;
  readFile: ReadFile;
  cores: number;
  out: (text: string) => void;
  err: (text: string) => void;
  probeHealth: (config: Config) => Promise<ProbedHealth>;
  /** Each resolves to an exit code when it is over. */
  serve: (config: Config) => Promise<number>;
  demo: (args: readonly string[]) => Promise<number>;
  smokeTest: () => Promise<number>;
  /** True when every room was compared. */
  resync: (config: Config, target: RepairTarget) => Promise<boolean>;
}

const HELP = `Glissade: sliding sync for any Matrix homeserver

Usage: glissade [command]

Commands:
  serve          serve clients (default)
  demo           serve a made-up homeserver and its residents, to look at sliding sync without having one
  routes         print the paths that a reverse proxy has to send here when it shares a name with the
                 homeserver; --nginx, --caddy or --haproxy print them as its configuration
  config check   say everything that is wrong with the configuration, and what holds if nothing is
  resync room <room id>
  resync user <user id>
  resync all     have the server that runs with this configuration compare a room, all rooms of a user, or
                 all rooms with the homeserver, put right what differs, and send clients these rooms anew;
                 shows how far it is. Nobody is logged out or disconnected. Safe to interrupt: the server
                 goes on, and after a restart too

Options:
  --help         this text
  --version      version and commit
  --healthcheck  ask the Glissade that runs with this configuration whether it is ready
  --smoke-test   start every part of the executable once, crash one, and see it come back

Exit codes: 0 done; 1 failed or not healthy, or a room could not be compared; 2 the command line or the configuration cannot be used.

Configuration is by environment variables; [in brackets] what holds without them.

`;

const COMMANDS = [
  "serve",
  "demo",
  "config check",
  "routes",
  "resync",
  "--help",
  "--version",
  "--healthcheck",
  "--smoke-test",
] as const;
type Command = (typeof COMMANDS)[number];

/** Runs the command that `argv` (without program and script) names; resolves to the exit code. */
export async function runCli(argv: readonly string[], deps: CliDeps = systemDeps()): Promise<number> {
  const parsed = parseCommand(argv);
  if ("unknown" in parsed) {
    const nearest = nearestName(parsed.unknown, COMMANDS);
    const hint = nearest === null ? "" : `; ${nearest} may be meant`;
    deps.err(`glissade does not know ${parsed.unknown}${hint}. glissade --help shows what there is.\n`);
    return EXIT.unusable;
  }
  switch (parsed.command) {
    case "--help":
      deps.out(`${HELP}${variablesHelp()}\n`);
      return EXIT.ok;
    case "--version":
      deps.out(`glissade ${FULL_VERSION}\n`);
      return EXIT.ok;
    case "--smoke-test":
      return deps.smokeTest();
    case "demo":
      return deps.demo(parsed.args);
    case "config check":
      return checkConfig(deps);
    case "routes":
      return printRoutes(deps, parsed.args);
    case "resync": {
      const target = readTarget(parsed.args);
      if (target === null) {
        deps.err("glissade resync takes room <room id>, user <user id>, or all.\n");
        return EXIT.unusable;
      }
      return withConfig(deps, async (config) => ((await deps.resync(config, target)) ? EXIT.ok : EXIT.failed));
    }
    case "--healthcheck":
      return withConfig(deps, async (config) => {
        const health = await deps.probeHealth(config);
        (health.ready ? deps.out : deps.err)(`${health.text}\n`);
        return health.ready ? EXIT.ok : EXIT.failed;
      });
    case "serve":
      return withConfig(deps, (config, warnings) => {
        if (warnings.length > 0) deps.err(problemsText(warnings));
        return deps.serve(config);
      });
  }
}

function parseCommand(argv: readonly string[]): { command: Command; args: readonly string[] } | { unknown: string } {
  const [first = "serve", ...rest] = argv;
  switch (first) {
    case "-h":
    case "help":
    case "--help":
      return { command: "--help", args: [] };
    case "-v":
    case "version":
    case "--version":
      return { command: "--version", args: [] };
    case "demo":
      return { command: "demo", args: rest };
    case "resync":
    case "routes":
      return { command: first, args: rest };
    case "config":
      return rest.length === 1 && rest[0] === "check"
        ? { command: "config check", args: [] }
        : { unknown: argv.join(" ") };
    case "serve":
    case "--healthcheck":
    case "--smoke-test":
      return rest.length === 0 ? { command: first, args: [] } : { unknown: argv.join(" ") };
    default:
      return { unknown: first };
  }
}

async function withConfig(
  deps: CliDeps,
  run: (config: Config, warnings: ReadConfig["warnings"]) => Promise<number>,
): Promise<number> {
  const read = readConfig(deps.env, deps.readFile, deps.cores);
  if ("config" in read) return run(read.config, read.warnings);
  deps.err(complaint(read.problems, read.warnings));
  return EXIT.unusable;
}

function checkConfig(deps: CliDeps): number {
  const read = readConfig(deps.env, deps.readFile, deps.cores);
  if ("problems" in read) {
    deps.err(complaint(read.problems, read.warnings));
    return EXIT.unusable;
  }
  if (read.warnings.length > 0) deps.err(`Worth a look:\n\n${problemsText(read.warnings)}\n`);
  deps.out(`The configuration can be used. What holds:\n\n${JSON.stringify(withoutSecrets(read.config), null, 2)}\n`);
  return EXIT.ok;
}

/** Also for who has not configured anything yet. */
function printRoutes(deps: CliDeps, args: readonly string[]): number {
  const [option, ...rest] = args;
  const proxy = PROXIES.find((name) => option === `--${name}`);
  if (rest.length > 0 || (option !== undefined && proxy === undefined)) {
    deps.err(`glissade routes takes nothing, or one of ${PROXIES.map((name: ProxyName) => `--${name}`).join(", ")}.\n`);
    return EXIT.unusable;
  }
  const read = readConfig(deps.env, deps.readFile, deps.cores);
  const { bind, isForwarding } = "config" in read ? read.config : { bind: DEFAULT_BIND, isForwarding: false };
  deps.out(proxy === undefined ? routesTable(isForwarding) : routesSnippet(proxy, bind, isForwarding));
  return EXIT.ok;
}

function complaint(problems: ReadConfig["warnings"], warnings: ReadConfig["warnings"]): string {
  const count = problems.length === 1 ? "1 problem" : `${problems.length} problems`;
  const more = warnings.length === 0 ? "" : `\nAlso worth a look:\n\n${problemsText(warnings)}`;
  const demoHint = problems.some(({ name }) => name === "SYNCV3_SERVER")
    ? "\nWithout a homeserver at hand, glissade demo brings one of its own.\n"
    : "";
  return `Glissade cannot start, ${count} in its configuration:\n\n${problemsText(problems)}${more}${demoHint}`;
}

/** What may be shown to whoever looks over one's shoulder. */
function withoutSecrets(config: Config): object {
  const { storage, telemetry } = config;
  const hidden = (value: string | null): string | null => (value === null ? null : "(set)");
  return {
    ...config,
    storage: { ...storage, database: hidden(storage.database), secret: hidden(storage.secret) },
    telemetry: {
      ...telemetry,
      tracing: telemetry.tracing && { ...telemetry.tracing, password: hidden(telemetry.tracing.password) },
    },
  };
}

/** The process itself. What a command does not need is not loaded. */
function systemDeps(): CliDeps {
  return {
    env: systemEnv(),
    readFile: (path) => readFileSync(path, "utf8"),
    cores: availableParallelism(),
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    probeHealth,
    serve: async (config) => (await import("#src/run-main.ts")).runServe(config),
    demo: async (args) => (await import("#src/demo/run-demo.ts")).runDemo(args),
    resync: async (config, target) =>
      (await import("#src/hosts/resync-host.ts")).resync(config, target, {
        out: (text) => void process.stdout.write(text),
        err: (text) => void process.stderr.write(text),
      }),
    smokeTest: async () => (await import("#src/hosts/smoke-test.ts")).runSmokeTest(),
  };
}
