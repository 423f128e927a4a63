import { SyncError } from "#src/errors.ts";
import { systemClock, systemRng, systemTimers } from "#src/system.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import { NO_METRICS } from "#src/telemetry/start.ts";
import { type HostId, splitHostId } from "#actors/runtime/placement.ts";
import { ownThread, type ThreadOf, workerSpawner } from "#actors/runtime/spawn.ts";
import type { HostEnvironment, HostRegistry, SpawnedRole } from "./compositions.ts";
import { MainHost } from "./main-host.ts";
import { probeAddress, type ProbeAnswer, type ProbeMessage } from "./probe.ts";

/** In place of a host's real options: load its code, but let nothing but its probe run. */
const SMOKE_OPTIONS = { smokeTest: true };
const ROUTE: readonly HostId[] = ["ingest:0", "sync:0", "sync:1", "poller:0"];
const ASK_DEADLINE_MS = 10_000;
const RESTART_LIMIT_MS = 15_000;

/** `registry`, but for hosts that only are to show that they can be started. */
export function smokeRegistry(registry: HostRegistry): HostRegistry {
  const isSmoke = (options: unknown): boolean =>
    typeof options === "object" && options !== null && "smokeTest" in options && options.smokeTest === true;
  const roleOf = (role: SpawnedRole) => async () => {
    const compose = await registry.roles[role]();
    return (...[init, services]: Parameters<typeof compose>) =>
      isSmoke(init.options) ? { kinds: {} } : compose(init, services);
  };
  return {
    environment: (init) => (isSmoke(init.options) ? smokeEnvironment(init.role) : registry.environment(init)),
    roles: { store: roleOf("store"), ingest: roleOf("ingest"), poller: roleOf("poller"), sync: roleOf("sync") },
  };
}

function smokeEnvironment(host: string): HostEnvironment {
  return {
    clock: systemClock,
    rng: systemRng,
    timers: systemTimers,
    logger: createLogger({ level: "error", host }),
    metrics: NO_METRICS,
  };
}

/**
 * Starts every kind of host, sends a question round all of them, crashes one, and sees it come back: each host in a Worker of
 * its own, then all but the store in one. Resolves to the exit code.
 */
export async function runSmokeTest(): Promise<number> {
  try {
    const isClean =
      (await tryOut("each in a Worker of its own", ownThread)) && (await tryOut("in one Worker", oneThread));
    say(isClean ? "smoke test passed" : "smoke test failed: hosts did not end well");
    return isClean ? 0 : 1;
  } catch (error) {
    process.stderr.write(
      `smoke test failed: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`,
    );
    return 1;
  }
}

/** True when the hosts ended well. */
async function tryOut(how: string, threadOf: ThreadOf): Promise<boolean> {
  const main = new MainHost({
    ...smokeEnvironment("main:0"),
    topology: { poller: 1, sync: 2 },
    hasStore: true,
    spawner: workerSpawner({ timers: systemTimers, threadOf }),
    optionsOf: () => SMOKE_OPTIONS,
    onEscalate: (reason) => {
      process.stderr.write(`smoke test failed: ${reason}\n`);
      process.exit(1);
    },
  });
  const startedMs = systemClock.mono();
  await main.launch();
  say(`every host up, ${how}, in ${Math.round(systemClock.mono() - startedMs)} ms`);
  await visitAll(main);
  await crash(
    main,
    "sync:1",
    ROUTE.filter((host) => threadOf(...placed(host)) === threadOf("sync", 1)),
  );
  await visitAll(main);
  const none = (): Promise<void> => Promise.resolve();
  return main.shutdown({ stopAccepting: none, closeServer: none, closePools: none, flushSpans: none });
}

const oneThread: ThreadOf = (role) => (role === "store" ? "store" : "shared");

const placed = (host: HostId): Parameters<ThreadOf> => {
  const { role, index } = splitHostId(host);
  return [role, index];
};

const say = (text: string): void => void process.stdout.write(`${text}\n`);

/** One question through all hosts over their direct ways, and one to the store, which has none. */
async function visitAll(main: MainHost): Promise<void> {
  const answer = await probe(main, ROUTE);
  const visited = [...answer.via, answer.host].join(" ");
  if (visited !== ROUTE.join(" ")) throw new SyncError("internal", `the question went through ${visited}`);
  await probe(main, ["store:0"]);
}

function probe(main: MainHost, [first, ...route]: readonly HostId[]): Promise<ProbeAnswer> {
  const question: Omit<Extract<ProbeMessage, { type: "probe-route" }>, "reply"> = {
    type: "probe-route",
    route,
    via: [],
  };
  return main.runtime.ask(probeAddress(first ?? "main:0"), question, { deadlineMs: ASK_DEADLINE_MS });
}

/** A crash inside the Worker, not a kill: that it is noticed, and what shares the Worker with it too, is part of the test. */
async function crash(main: MainHost, host: HostId, lost: readonly HostId[]): Promise<void> {
  const startedMs = systemClock.mono();
  const late = Promise.withResolvers<never>();
  const changes = lost.flatMap((each) => (["down", "up"] as const).map((change) => `${each} ${change}`));
  const seen = new Map(changes.map((change) => [change, Promise.withResolvers<void>()]));
  const stop = main.onHostChange((changed, change) => seen.get(`${changed} ${change}`)?.resolve());
  const failing: ProbeMessage = { type: "fail-host" };
  main.runtime.tell(probeAddress(host), failing);
  const cancel = systemTimers.after(RESTART_LIMIT_MS, () =>
    late.reject(new SyncError("internal", `host ${host} crashed, and not all that share its Worker came back`)),
  );
  await Promise.race([Promise.all([...seen.values()].map(({ promise }) => promise)), late.promise]);
  cancel();
  stop();
  say(`${lost.join(", ")} crashed and came back in ${Math.round(systemClock.mono() - startedMs)} ms`);
}
