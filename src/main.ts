/** Commands that talk to a homeserver for many devices at once, or show that they could. */
const NEEDS_MANY_REQUESTS = new Set(["serve", "demo", "--smoke-test"]);

if (Bun.isMainThread) await runMain(process.argv.slice(2));
else await runWorker();

async function runMain(argv: readonly string[]): Promise<void> {
  if (NEEDS_MANY_REQUESTS.has(argv[0] ?? "serve")) await raiseLimit();
  const { runCli } = await import("./cli.ts");
  process.exit(await runCli(argv));
}

async function raiseLimit(): Promise<void> {
  const { raiseFetchLimit } = await import("./hosts/fetch-limit.ts");
  const failure = raiseFetchLimit(process, Bun.main);
  if (failure === null) return;
  const { createLogger } = await import("./telemetry/logger.ts");
  createLogger({ level: "warn", host: "main:0" }).warn(
    { reason: failure },
    "no more than 256 devices can be polled at once: set BUN_CONFIG_MAX_HTTP_REQUESTS in the environment",
  );
}

async function runWorker(): Promise<void> {
  const { runHost } = await import("./hosts/host-main.ts");
  runHost(process.argv, globalThis);
}
