import { SyncError } from "#src/errors.ts";
import type { Clock, Logger, Timers } from "#src/ports/basics.ts";

/** One step of an ordered shutdown. */
export interface ShutdownStage {
  name: string;
  /** So much is kept for it, whatever the stages before it take. */
  shareMs: number;
  /** After `limitMs` the next stage begins, whatever this one does. */
  run: (limitMs: number) => Promise<void>;
}

/**
 * Runs the stages one after another; one that fails or hangs is logged and passed over. True when all ended well. What nobody
 * has used yet of `totalMs`, but for the shares of those still to come, is there for whoever needs it: a busy machine may be
 * slow anywhere.
 */
export async function runStages(
  stages: readonly ShutdownStage[],
  totalMs: number,
  deps: { clock: Clock; timers: Timers; logger: Logger },
): Promise<boolean> {
  const started = deps.clock.mono();
  let isClean = true;
  let keptMs = stages.reduce((sum, { shareMs }) => sum + shareMs, 0);
  for (const stage of stages) {
    const stageStarted = deps.clock.mono();
    const spareMs = totalMs - (stageStarted - started) - keptMs;
    keptMs -= stage.shareMs;
    try {
      await withLimit(stage, Math.max(stage.shareMs, stage.shareMs + spareMs), deps.timers);
    } catch (error) {
      isClean = false;
      deps.logger.error({ stage: stage.name, error: reasonOf(error) }, "shutdown stage failed");
    }
    deps.logger.debug(
      { stage: stage.name, took_ms: Math.round(deps.clock.mono() - stageStarted) },
      "shutdown stage ended",
    );
  }
  deps.logger.info({ took_ms: Math.round(deps.clock.mono() - started), clean: isClean }, "shut down");
  return isClean;
}

async function withLimit(stage: ShutdownStage, limitMs: number, timers: Timers): Promise<void> {
  const { promise: limit, reject } = Promise.withResolvers<never>();
  const cancel = timers.after(limitMs, () => {
    reject(new SyncError("ask_timeout", `not done within ${Math.round(limitMs)} ms`));
  });
  try {
    await Promise.race([stage.run(limitMs), limit]);
  } finally {
    cancel();
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${reasonOf(error.cause)}`;
}
