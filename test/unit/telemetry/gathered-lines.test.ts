import { describe, expect, test } from "bun:test";
import { gatherLines } from "#src/telemetry/gathered-lines.ts";
import { createLogger } from "#src/telemetry/logger.ts";

/** A logger over gathered lines; a round ends when the test says so. */
function rig() {
  const writes: string[] = [];
  const rounds: (() => void)[] = [];
  const lines = gatherLines({ write: (text) => void writes.push(text) }, (run) => void rounds.push(run));
  const log = createLogger({ level: "info", host: "main:0", destination: lines });
  const messages = (): string[][] =>
    writes.map((text) =>
      text
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { msg: string }).msg),
    );
  return { lines, log, messages, rounds, endRound: () => rounds.splice(0).forEach((run) => run()) };
}

describe("gatherLines", () => {
  test("[LOG-17] the lines of a round are one write, in order", () => {
    const { log, messages, endRound, rounds } = rig();
    log.info({}, "a");
    log.info({}, "b");
    expect(messages()).toEqual([]);
    expect(rounds).toHaveLength(1);
    endRound();
    log.info({}, "c");
    endRound();
    expect(messages()).toEqual([["a", "b"], ["c"]]);
  });

  test.each(["warn", "error"] as const)(
    "[LOG-17] a line of level %s leaves at once, behind those before it",
    (level) => {
      const { log, messages, endRound } = rig();
      log.info({}, "a");
      log[level]({}, "b");
      expect(messages()).toEqual([["a", "b"]]);
      log.info({}, "c");
      endRound();
      expect(messages()).toEqual([["a", "b"], ["c"]]);
    },
  );

  test("[LOG-17] what is gathered is bounded, and nothing stays behind at the end", () => {
    const { lines, log, messages, rounds } = rig();
    for (let n = 0; n < 1000; n++) log.info({ text: "x".repeat(100) }, "long");
    expect(messages().length).toBeGreaterThan(1);
    lines.flush();
    expect(messages().flat()).toHaveLength(1000);
    expect(rounds.length).toBeLessThan(10);
    lines.flush();
    expect(messages().flat()).toHaveLength(1000);
  });
});
