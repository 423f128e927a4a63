import type { ActorKind, Address } from "#actors/runtime/actor.ts";
import { HostRuntime } from "#actors/runtime/host-runtime.ts";
import type { HostRole } from "#actors/runtime/placement.ts";
import { recordingLogger, RecordingMetrics } from "#test/support/recording.ts";
import { settlePromises, VirtualTime } from "#test/support/virtual-time.ts";

/** A host on its own, its time in the test's hand. */
export function soloHost(role: HostRole = "main") {
  const time = new VirtualTime();
  const metrics = new RecordingMetrics();
  const logger = recordingLogger();
  const escalations: string[] = [];
  const host = new HostRuntime({
    role,
    index: 0,
    topology: { poller: 1, sync: 1 },
    clock: time,
    rng: { next: () => 0 },
    timers: time,
    logger,
    metrics,
    yieldToIo: (run) => void setImmediate(run),
    onEscalate: (reason) => escalations.push(reason),
  });
  return { host, time, metrics, logger, escalations };
}

/** What is on its way to peers has left, and what came of it is settled. */
export async function settleLinks(): Promise<void> {
  await settlePromises();
  await new Promise((resolve) => setImmediate(resolve));
  await settlePromises();
}

/** The probe address of a host under any key. */
export const at = (key: string, host = "main:0"): Address => ({ kind: "probe", key, shard: host });

/** A kind with the usual bounds. */
export const kindOf = <M>(
  factory: ActorKind<M>["factory"],
  more: Partial<Omit<ActorKind<M>, "factory">> = {},
): ActorKind<M> => ({ mailboxLimit: 100, onCrash: "stop", ...more, factory });

/** `ok: value` or the code of the failure. */
export const outcomeOf = (answer: Promise<unknown>): Promise<string> =>
  answer.then(
    (value) => `ok: ${String(value)}`,
    (error: unknown) => (error instanceof Error && "code" in error ? String(error.code) : "no code"),
  );
