import type { Clock } from "#src/ports/basics.ts";
import { Fifo } from "./mailbox.ts";
import { outsideTraces } from "./tracing.ts";

/** Something with turns to take. */
export interface TurnTaker {
  /** Takes one turn; true when more are waiting. Never throws. */
  takeTurn(): boolean;
}

/** Turns of one actor in a row before another gets its chance. */
const TURNS_IN_A_ROW = 32;
/**
 * After this long the loop lets I/O in, and what its turns said goes out: of twenty clients that one event wakes, the first
 * should not wait until the answer of the last is made.
 */
const SLICE_MS = 1;
/** Visits of actors in a slice: bounds it also where time stands still, as in tests. */
const SLICE_VISITS = 1000;

/** Runs the turns of a host's actors one after another, fairly, never nested. */
export class TurnLoop {
  readonly #clock: Clock;
  readonly #yieldToIo: (run: () => void) => void;
  readonly #ready = new Fifo<TurnTaker>();
  #isRunning = false;
  /** When the next slice is due: with the end of this task, or once I/O has had its chance. */
  #due: "task-end" | "after-io" | null = null;
  #isStopped = false;

  constructor(clock: Clock, yieldToIo: (run: () => void) => void) {
    this.#clock = clock;
    this.#yieldToIo = yieldToIo;
  }

  get isIdle(): boolean {
    return this.#ready.length === 0 && !this.#isRunning;
  }

  /** Each taker is queued at most once at a time: the caller remembers. */
  schedule(taker: TurnTaker): void {
    this.#ready.push(taker);
    if (this.#isRunning || this.#due !== null) return;
    this.#due = "task-end";
    queueMicrotask(() => {
      // A slice has run since: what it left is behind I/O now, or the end of the task would only be the next slice.
      if (this.#due === "task-end") this.#runDue();
    });
  }

  /** Runs what is ready now, in the caller's stack: for the border where messages come in. */
  runNow(): void {
    if (this.#isRunning || this.#isStopped || this.#ready.length === 0) return;
    this.#isRunning = true;
    outsideTraces(() => this.#runSlice());
  }

  #runSlice(): void {
    const end = this.#clock.mono() + SLICE_MS;
    for (let visits = 0; visits < SLICE_VISITS; visits++) {
      const taker = this.#ready.shift();
      if (taker === undefined) break;
      if (this.#runSome(taker, end)) this.#ready.push(taker);
      if (this.#clock.mono() >= end) break;
    }
    this.#isRunning = false;
    if (this.#ready.length === 0 || this.#due === "after-io") return;
    this.#due = "after-io";
    this.#yieldToIo(() => this.#runDue());
  }

  /** No turn is taken any more. */
  stop(): void {
    this.#isStopped = true;
  }

  #runSome(taker: TurnTaker, end: number): boolean {
    for (let turns = 0; turns < TURNS_IN_A_ROW; turns++) {
      if (this.#isStopped || !taker.takeTurn()) return false;
      // One whose turns are long ones must not have many of them in a row.
      if (this.#clock.mono() >= end) return true;
    }
    return true;
  }

  #runDue(): void {
    this.#due = null;
    this.runNow();
  }
}
