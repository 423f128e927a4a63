import type { Clock } from "#src/ports/basics.ts";

/** What a command says to whoever started it. */
export interface Say {
  out: (text: string) => void;
  err: (text: string) => void;
}

const EVERY_MS = 500;

/** `1,234,567` */
export const grouped = (count: number): string => count.toLocaleString("en");

/** `1 device`, `2 devices` */
export const counted = (count: number, one: string, many = `${one}s`): string =>
  `${grouped(count)} ${count === 1 ? one : many}`;

/** Says how far something is: at once when it begins, or goes on to the next topic, and then twice a second at most. */
export function progressTeller(say: Say, clock: Pick<Clock, "mono">): (line: () => string, topic?: string) => void {
  let saidMs = Number.NEGATIVE_INFINITY;
  let saidTopic = "";
  return (line, topic = "") => {
    if (topic === saidTopic && clock.mono() - saidMs < EVERY_MS) return;
    saidMs = clock.mono();
    saidTopic = topic;
    say.out(`${line()}\n`);
  };
}
