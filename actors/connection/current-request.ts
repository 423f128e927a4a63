import type { SyncError } from "#src/errors.ts";
import type { KeptResponse } from "#src/protocol/engine/response-log.ts";
import { decodePos, type Mac, type PosClaims } from "#src/protocol/pos.ts";
import type { Cancel, Metrics } from "#src/ports/basics.ts";
import type { ConnectionCommand, SyncAnswer } from "./messages.ts";
import { RequestTrace } from "./request-trace.ts";

type SyncCommand = Extract<ConnectionCommand, { type: "sync-request" }>;

/** Labels of a request's metrics: without `pos` or with. */
const [FIRST, LATER] = [{ initial: "1" }, { initial: "0" }];

/** A request as it came in. */
export interface Arrival {
  command: SyncCommand;
  /** What its `pos` says; null when it has none, or one that is not ours. */
  claims: PosClaims | null;
  trace: RequestTrace | null;
}

/** `mac`: that of the connection. */
export const arrivalOf = (command: SyncCommand, mac: Mac): Arrival => ({
  command,
  claims: command.pos === null ? null : decodePos(command.pos, mac),
  trace: RequestTrace.ofTurn(),
});

/** One request while it is served: how far it is, how long it waited, and its one answer. */
export class CurrentRequest {
  readonly command: SyncCommand;
  readonly claims: PosClaims | null;
  readonly trace: RequestTrace | null;
  /** `loading`: before it was processed; `working`: a response is being read together; `parked`: waiting for news. */
  phase: "loading" | "working" | "parked" = "loading";
  /** Must be answered with what there is, without waiting. */
  isUrgent = false;
  /** An older response that has to go out first. */
  replay: KeptResponse | null = null;
  readonly #startedMs: number;
  #parkedAtMs = 0;
  #waitedMs = 0;
  #setupMs = 0;
  #cancelTimeout: Cancel | null = null;
  #hasWaited = false;

  constructor({ command, claims, trace }: Arrival, nowMs: number) {
    this.command = command;
    this.claims = claims;
    this.trace = trace;
    this.#startedMs = nowMs;
  }

  /** Since it came in. */
  ageMs(nowMs: number): number {
    return nowMs - this.#startedMs;
  }

  /** The connection can serve it; how long that took is told. */
  isReady(nowMs: number, metrics: Pick<Metrics, "observe">): void {
    this.#setupMs = this.ageMs(nowMs) - this.#waitedMs;
    const labels = this.command.pos === null ? FIRST : LATER;
    metrics.observe("sliding_sync_api_setup_duration_secs", this.#setupMs / 1000, labels);
  }

  /** How much longer it may wait; nothing when it must be answered with what there is. */
  leftMs(nowMs: number): number {
    return this.isUrgent ? 0 : Math.max(0, this.command.timeoutMs - this.ageMs(nowMs));
  }

  /** There was nothing to say when it came: what it is answered with is news. */
  get hasWaited(): boolean {
    return this.#hasWaited;
  }

  /** How long it was parked. */
  get waitedMs(): number {
    return this.#waitedMs;
  }

  /** One timer for all of its waits: what wakes it in vain does not extend its time. */
  limitWait(arm: () => Cancel): void {
    this.#hasWaited = true;
    this.#cancelTimeout ??= arm();
  }

  /** The timer went off; should it wait once more, as after its user was read anew, another is needed. */
  timedOut(): void {
    this.#cancelTimeout = null;
  }

  park(nowMs: number): void {
    this.phase = "parked";
    this.#parkedAtMs = nowMs;
    this.trace?.parked();
  }

  /** Waits no longer, or only from now on. */
  countWait(nowMs: number): void {
    if (this.phase !== "parked") return;
    this.#waitedMs += nowMs - this.#parkedAtMs;
    this.#parkedAtMs = nowMs;
  }

  /** What it rested on is gone: it is begun anew. */
  restart(nowMs: number): void {
    this.countWait(nowMs);
    this.trace?.ended();
    this.phase = "loading";
  }

  answer(response: Omit<KeptResponse, "seq">, nowMs: number): void {
    this.#end(nowMs);
    // The log keeps its own copy: a client that lost the answer asks again.
    sendAnswer(
      this.command,
      { ...response, body: response.body.slice() },
      { waitedMs: this.#waitedMs, setupMs: this.#setupMs },
    );
  }

  reject(error: SyncError, nowMs: number): void {
    this.#end(nowMs);
    this.command.reply.reject(error);
  }

  #end(nowMs: number): void {
    this.#cancelTimeout?.();
    this.countWait(nowMs);
    this.trace?.ended();
  }
}

/** Answers a request; the body's memory goes with it. */
export function sendAnswer(
  { reply }: SyncCommand,
  { body, pos, rooms, ops }: Omit<KeptResponse, "seq">,
  { waitedMs, setupMs }: { waitedMs: number; setupMs: number },
): void {
  const answer: SyncAnswer = { body, posOut: pos, rooms, ops, waitedMs, setupMs };
  reply.resolve(answer, [body.buffer]);
}
