import { mkdir, mkdtemp, rm } from "node:fs/promises";
import { readFileSync } from "node:fs";
import { availableParallelism, tmpdir } from "node:os";
import { join } from "node:path";
import { type Config, readConfig } from "#src/config.ts";
import { problemsText } from "#src/config/help.ts";
import { probeHealth } from "#src/http/probe-health.ts";
import type { Clock, Timers } from "#src/ports/basics.ts";
import { systemClock, systemEnv, systemTimers } from "#src/system.ts";
import { DEMO_USAGE, type DemoOptions, parseDemoOptions } from "./demo-options.ts";
import type { Session } from "./homeserver/accounts.ts";
import { DemoHomeserver } from "./homeserver/demo-homeserver.ts";
import { Residents } from "./residents.ts";
import { seededRng } from "./seeded-rng.ts";
import { TERMINAL_REQUEST, TerminalClient } from "./terminal-client.ts";

/** What the demonstration needs of the outside. */
export interface DemoDeps {
  clock: Clock;
  timers: Timers;
  env: Readonly<Record<string, string | undefined>>;
  out: (text: string) => void;
  err: (text: string) => void;
  isTerminal: boolean;
  columns: () => number;
  /** Runs Glissade until it is told to stop; resolves to its exit code. */
  serve: (config: Config) => Promise<number>;
  /** Calls back on Ctrl-C or SIGTERM; returns how to stop listening. */
  onStop: (stop: () => void) => () => void;
  isReady: (config: Config) => Promise<boolean>;
}

/** Glissade has to be ready by then. */
const READY_DEADLINE_MS = 60_000;
const READY_POLL_MS = 100;
const DEFAULT_PORT = 8008;
const SYNC_PATH = "/_matrix/client/unstable/org.matrix.msc3575/sync";
/** How long a view's request is held, and how much later it is given up. */
const VIEW_TIMEOUT_MS = 30_000;
const VIEW_SLACK_MS = 30_000;

/** Runs the demonstration until Ctrl-C; resolves to the exit code. */
export async function runDemo(args: readonly string[], deps: DemoDeps = systemDeps()): Promise<number> {
  if (args.includes("--help")) {
    deps.out(DEMO_USAGE);
    return 0;
  }
  const options = parseDemoOptions(args);
  if (typeof options === "string") {
    deps.err(`${options}\n\n${DEMO_USAGE}`);
    return 2;
  }
  const { clock, timers } = deps;
  const rng = seededRng(options.seed);
  const homeserver = new DemoHomeserver({ clock, timers, rng, port: options.homeserverPort });
  homeserver.start();
  const newcomer = homeserver.user("newcomer", { displayName: "Newcomer", deviceId: "TERMINAL" });
  const residents = new Residents(
    { homeserver, clock, rng, timers },
    { newcomer, roomCount: options.rooms, speed: options.speed },
  );
  residents.settle();
  // Where a container has its only writable place, if it is named; gone at the end all the same.
  const parent = deps.env["SYNCV3_DATA"] ?? tmpdir();
  await mkdir(parent, { recursive: true });
  const dataDir = await mkdtemp(join(parent, "glissade-demo-"));
  try {
    const config = demoConfig(deps, homeserver.url, dataDir);
    if (typeof config === "string") {
      deps.err(config);
      return 2;
    }
    return await serveAndShow(deps, options, { homeserver, newcomer, residents, config });
  } finally {
    residents.stop();
    await homeserver.stop();
    await rm(dataDir, { recursive: true, force: true });
  }
}

/** The operator's settings, but for what makes it a demonstration; a text says what is wrong. */
function demoConfig(deps: DemoDeps, server: string, dataDir: string): Config | string {
  const env = {
    SYNCV3_LOG_LEVEL: "error",
    SYNCV3_BINDADDR: `127.0.0.1:${freePort(DEFAULT_PORT)}`,
    ...deps.env,
    // The demonstration leaves nothing behind, least of all in somebody's database.
    SYNCV3_SERVER: server,
    SYNCV3_DATA: dataDir,
    SYNCV3_DB: undefined,
    SYNCV3_SECRET: undefined,
    SYNCV3_SECRET_FILE: undefined,
    SYNCV3_DB_FILE: undefined,
  };
  const read = readConfig(env, (path) => readFileSync(path, "utf8"), availableParallelism());
  return "config" in read ? read.config : problemsText(read.problems);
}

/** `wanted` where nobody listens on it, else any free port. */
function freePort(wanted: number): number {
  const probe = (port: number): number => {
    const listener = Bun.listen({ hostname: "127.0.0.1", port, socket: { data() {} } });
    listener.stop(true);
    return listener.port;
  };
  try {
    return probe(wanted);
  } catch {
    return probe(0);
  }
}

interface Stage {
  homeserver: DemoHomeserver;
  newcomer: Session;
  residents: Residents;
  config: Config;
}

async function serveAndShow(deps: DemoDeps, options: DemoOptions, stage: Stage): Promise<number> {
  const stopping = new AbortController();
  const stop = (): void => {
    stage.residents.stop();
    stopping.abort();
  };
  const unlisten = deps.onStop(stop);
  const serving = deps.serve(stage.config).finally(stop);
  const isUp = await waitUntilReady(deps, stage.config, stopping.signal);
  if (isUp) {
    const url = glissadeUrl(stage.config);
    deps.out(instructions(url, stage));
    stage.residents.start();
    if (options.hasView && url !== null) {
      await viewer(deps, url, stage.newcomer.accessToken).run(stopping.signal);
    }
  } else if (!stopping.signal.aborted) {
    deps.err("Glissade did not become ready.\n");
  }
  const code = await serving;
  unlisten();
  return code;
}

async function waitUntilReady(deps: DemoDeps, config: Config, signal: AbortSignal): Promise<boolean> {
  const deadline = deps.clock.mono() + READY_DEADLINE_MS;
  while (!signal.aborted && deps.clock.mono() < deadline) {
    if (await deps.isReady(config)) return true;
    const { promise, resolve } = Promise.withResolvers<void>();
    deps.timers.after(READY_POLL_MS, resolve);
    await promise;
  }
  return false;
}

/** null when it listens on a unix socket. */
function glissadeUrl({ bind, tls }: Config): string | null {
  if (bind.kind === "unix") return null;
  const host = bind.host === "0.0.0.0" || bind.host === "::" ? "127.0.0.1" : bind.host;
  return `${tls === null ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${bind.port}`;
}

function instructions(url: string | null, { homeserver, newcomer, config }: Stage): string {
  const { rooms, users } = homeserver.stats();
  const socket = config.bind.kind === "unix" ? `--unix-socket ${config.bind.path} ` : "";
  const base = url ?? "http://localhost";
  const body = JSON.stringify({
    lists: { all: { ...TERMINAL_REQUEST.lists.all, timeline_limit: 1 } },
  });
  return `
Glissade demonstration: ${users} people in ${rooms} rooms on a made-up homeserver, gone when you leave.

  Glissade       ${base}${socket === "" ? "" : ` on ${socket}`}
  homeserver     ${homeserver.url}
  account        ${newcomer.account.userId}
  access token   ${newcomer.accessToken}
${url === null ? "" : `\nIn a browser, with that token: ${url}/client/\n`}
A room list, from another terminal:

  curl -s ${socket}'${base}${SYNC_PATH}?timeout=0' \\
    -H 'Authorization: Bearer ${newcomer.accessToken}' \\
    -d '${body}'

Ctrl-C ends it.

`;
}

function viewer(deps: DemoDeps, url: string, accessToken: string): TerminalClient {
  return new TerminalClient({
    timers: deps.timers,
    write: deps.out,
    isTerminal: deps.isTerminal,
    columns: deps.columns,
    post: async (pos, body, signal) => {
      const query = new URLSearchParams({ timeout: String(VIEW_TIMEOUT_MS), ...(pos === null ? {} : { pos }) });
      const response = await fetch(`${url}${SYNC_PATH}?${query.toString()}`, {
        method: "POST",
        headers: { authorization: `Bearer ${accessToken}`, "content-type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.any([signal, AbortSignal.timeout(VIEW_TIMEOUT_MS + VIEW_SLACK_MS)]),
        // It is our own listener, whatever name its certificate is made for.
        tls: { rejectUnauthorized: false },
      });
      const parsed: unknown = await response.json();
      return { status: response.status, body: parsed };
    },
  });
}

function systemDeps(): DemoDeps {
  return {
    clock: systemClock,
    timers: systemTimers,
    env: systemEnv(),
    out: (text) => void process.stdout.write(text),
    err: (text) => void process.stderr.write(text),
    isTerminal: process.stdout.isTTY,
    columns: () => process.stdout.columns || 100,
    serve: async (config) => (await import("#src/run-main.ts")).runServe(config),
    onStop: (stop) => {
      process.on("SIGINT", stop);
      process.on("SIGTERM", stop);
      return () => {
        process.off("SIGINT", stop);
        process.off("SIGTERM", stop);
      };
    },
    isReady: async (config) => (await probeHealth(config)).ready,
  };
}
