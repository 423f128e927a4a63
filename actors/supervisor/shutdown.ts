import { SyncError } from "#src/errors.ts";
import type { Clock, Logger, Timers } from "#src/ports/basics.ts";

/** One step of an ordered shutdown. */
export interface ShutdownStage {
  name: string;
  /** After this the next stage begins, whatever this one does. */
  limitMs: number;
  run: () => Promise<void>;
}

/** Runs the stages one after another; one that fails or hangs is logged and passed over. True when all ended well. */
export async function runStages(
  stages: readonly ShutdownStage[],
  deps: { clock: Clock; timers: Timers; logger: Logger },
): Promise<boolean> {
  const started = deps.clock.mono();
  let isClean = true;
  for (const stage of stages) {
    const stageStarted = deps.clock.mono();
    try {
      await withLimit(stage, deps.timers);
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

async function withLimit(stage: ShutdownStage, timers: Timers): Promise<void> {
  const { promise: limit, reject } = Promise.withResolvers<never>();
  const cancel = timers.after(stage.limitMs, () => {
    reject(new SyncError("ask_timeout", `not done within ${stage.limitMs} ms`));
  });
  try {
    await Promise.race([stage.run(), limit]);
  } finally {
    cancel();
  }
}

function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  return error.cause === undefined ? error.message : `${error.message}: ${reasonOf(error.cause)}`;
}
