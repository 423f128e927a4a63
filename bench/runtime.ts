import { NO_METRICS } from "#src/telemetry/start.ts";
import { createMetricsRegistry } from "#src/telemetry/metrics-registry.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import { systemClock, systemRng, systemTimers } from "#src/system.ts";
import type { Metrics } from "#src/ports/basics.ts";
import { linkPeer, type Wire } from "#actors/runtime/comlink.ts";
import type { ActorKind, Address, Asked } from "#actors/runtime/actor.ts";
import { HostRuntime } from "#actors/runtime/host-runtime.ts";
import type { HostRole } from "#actors/runtime/placement.ts";

/** What an ask costs: within a host and between two Workers. `bun bench/runtime.ts` prints microseconds. */
type EchoMessage =
  | Asked<{ type: "echo"; n: number; userId: string }, number>
  | Asked<{ type: "swallow"; bytes: Uint8Array<ArrayBuffer> }, number>
  | { type: "note"; n: number };

const BUFFER_BYTES = 100_000;
const DEADLINE_MS = 30_000;

const echo: ActorKind<EchoMessage> = {
  mailboxLimit: "unbounded",
  onCrash: "stop",
  factory: () => ({
    receive(message) {
      if (message.type === "echo") message.reply.resolve(message.n);
      else if (message.type === "swallow") message.reply.resolve(message.bytes.byteLength);
    },
  }),
};

function makeHost(role: HostRole, metrics: Metrics): HostRuntime {
  const host = new HostRuntime({
    role,
    index: 0,
    topology: { poller: 1, sync: 1 },
    clock: systemClock,
    rng: systemRng,
    timers: systemTimers,
    logger: createLogger({ level: "error", host: role }),
    metrics,
    yieldToIo: (run) => void setImmediate(run),
    onEscalate: () => {},
  });
  host.addKinds({ probe: echo });
  return host;
}

const at = (host: string, key = "@someone:example.org"): Address => ({ kind: "probe", key, shard: host });

async function measure(name: string, count: number, run: (count: number) => Promise<void>): Promise<void> {
  await run(Math.ceil(count / 4));
  const started = performance.now();
  const cpu = process.cpuUsage();
  await run(count);
  const us = ((performance.now() - started) * 1000) / count;
  const used = process.cpuUsage(cpu);
  const cpuUs = (used.user + used.system) / count;
  console.log(
    `${name.padEnd(58)} ${us.toFixed(2).padStart(8)} µs   CPU of all threads ${cpuUs.toFixed(2).padStart(7)} µs`,
  );
}

async function asks(host: HostRuntime, to: string, name: string, count: number): Promise<void> {
  const message = { type: "echo", n: 1, userId: "@someone:example.org" };
  const ask = (key?: string): Promise<unknown> => host.ask(at(to, key), message, { deadlineMs: DEADLINE_MS });
  await measure(`${name}: ask, one after another`, count / 4, async (times) => {
    for (let i = 0; i < times; i++) await ask();
  });
  await measure(`${name}: ask, 100 at once to 100 actors`, count, async (times) => {
    for (let i = 0; i < times / 100; i++) await Promise.all(Array.from({ length: 100 }, (_, n) => ask(`@user${n}:hs`)));
  });
  await measure(`${name}: tell, 100 and an ask`, count, async (times) => {
    for (let i = 0; i < times / 100; i++) {
      for (let n = 0; n < 100; n++) host.tell(at(to), { type: "note" });
      await ask();
    }
  });
  await measure(`${name}: ask with 100 KB transferred`, count / 20, async (times) => {
    for (let i = 0; i < times; i++) {
      const bytes = new Uint8Array(BUFFER_BYTES);
      const asked = { type: "swallow", bytes };
      await host.ask(at(to), asked, { deadlineMs: DEADLINE_MS, transfer: [bytes.buffer] });
    }
  });
}

async function runMain(): Promise<void> {
  const main = makeHost("main", NO_METRICS);
  await asks(main, "main:0", "within a host", 200_000);
  const registry = createMetricsRegistry({ host: "main:0", startedMs: 0 });
  await asks(makeHost("main", registry.metrics), "main:0", "within a host, with metrics", 200_000);

  const worker = new Worker(Bun.main);
  await new Promise((resolve) => worker.addEventListener("message", resolve, { once: true }));
  linkPeer(main, "ingest:0", worker);
  await asks(main, "ingest:0", "to another Worker", 100_000);
  worker.terminate();
}

function runWorker(self: Wire): void {
  linkPeer(makeHost("ingest", NO_METRICS), "main:0", self);
  self.postMessage("ready");
}

if (Bun.isMainThread) await runMain();
else runWorker(globalThis);
