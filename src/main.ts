/** Commands that run a server, or show that one could be run. */
const SERVERS = new Set(["serve", "demo", "--smoke-test"]);

if (Bun.isMainThread) await runMain(process.argv.slice(2));
else await runWorker();

async function runMain(argv: readonly string[]): Promise<void> {
  if (SERVERS.has(argv[0] ?? "serve")) await setRuntime();
  const { runCli } = await import("./cli/cli.ts");
  process.exit(await runCli(argv));
}

async function setRuntime(): Promise<void> {
  const { startAnew } = await import("./hosts/start-anew.ts");
  const failure = startAnew(
    process,
    Bun.main,
    process.env["LISTEN_FDS"] === undefined ? undefined : await keepSocket(),
  );
  if (failure === null || process.env["BUN_CONFIG_MAX_HTTP_REQUESTS"] !== undefined) return;
  const { createLogger } = await import("./telemetry/logger.ts");
  createLogger({ level: "warn", host: "main:0" }).warn(
    { reason: failure },
    "no more than 256 devices can be polled at once: set BUN_CONFIG_MAX_HTTP_REQUESTS in the environment",
  );
}

/** The process that replaces this one keeps its standard streams alone. */
async function keepSocket(): Promise<() => Record<string, string>> {
  const { keepInheritedSocket } = await import("./service-manager/inherited-socket.ts");
  const { duplicateDescriptor } = await import("./service-manager/libc.ts");
  return () => keepInheritedSocket(process.env, process.pid, duplicateDescriptor);
}

async function runWorker(): Promise<void> {
  const { runThread } = await import("./hosts/host-main.ts");
  runThread(process.argv, globalThis);
}
