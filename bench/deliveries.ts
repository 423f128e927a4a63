import { eachMarker, nowUs } from "./marker.ts";

const INITIAL = '"initial":true';

type Counted = { readonly deliveredCount: number; readonly lostCount: number; readonly doubledCount: number };

/** Numbers of the marked events in timelines; only of rooms that start anew when `isOnlyInitial`. */
function timelineMarkers(body: Buffer, isOnlyInitial: boolean): [sequence: number, sentUs: number][] {
  const answer: unknown = JSON.parse(body.toString());
  const found: [sequence: number, sentUs: number][] = [];
  if (typeof answer !== "object" || answer === null || !("rooms" in answer)) return found;
  for (const room of Object.values(answer.rooms ?? {})) {
    if (typeof room !== "object" || room === null) continue;
    const isInitial = "initial" in room && room.initial === true;
    if ((isOnlyInitial && !isInitial) || !("timeline" in room)) continue;
    eachMarker(Buffer.from(JSON.stringify(room.timeline)), (sequence, sentUs) => found.push([sequence, sentUs]));
  }
  return found;
}

/** Follows every marked event to every client that must have it, by number: what is lost or doubled is known, not guessed. */
export class Deliveries {
  /** For each client how often it has seen each event. */
  readonly #seen: Uint8Array[];
  /** For each event the clients that must have it. */
  readonly #recipients: (readonly number[])[] = [];
  readonly #missing: number[] = [];
  #latenciesMs: number[] = [];
  #deliveredCount = 0;
  #outstandingCount = 0;
  #idle: (() => void) | null = null;
  /** Called when an event has reached all of its clients. */
  onComplete: ((sequence: number) => void) | null = null;

  readonly #isTimelineOnly: boolean;

  /** `isTimelineOnly` where marked events are state: a join comes as lazily loaded member as well. */
  constructor(clientCount: number, isTimelineOnly = false) {
    this.#isTimelineOnly = isTimelineOnly;
    this.#seen = Array.from({ length: clientCount }, () => new Uint8Array(1024));
  }

  get nextSequence(): number {
    return this.#recipients.length;
  }

  get deliveredCount(): number {
    return this.#deliveredCount;
  }

  /** Announces the next event before it is sent; returns its number. */
  expect(recipients: readonly number[]): number {
    this.#recipients.push(recipients);
    this.#missing.push(recipients.length);
    this.#outstandingCount += recipients.length;
    return this.#recipients.length - 1;
  }

  /** Takes the answer a client just got. */
  received(client: number, body: Buffer): void {
    const at = nowUs();
    // A room that starts anew replaces what the client had: its events are no repetition.
    const initial = body.includes(INITIAL) ? new Set(timelineMarkers(body, true).map(([sequence]) => sequence)) : null;
    const take = (sequence: number, sentUs: number): void => {
      const seen = this.#seenBy(client, sequence);
      const times = seen[sequence] ?? 0;
      if (times > 0) {
        if (initial === null || !initial.has(sequence)) seen[sequence] = Math.min(255, times + 1);
        return;
      }
      seen[sequence] = 1;
      this.#latenciesMs.push((at - sentUs) / 1000);
      this.#deliveredCount += 1;
      this.#outstandingCount -= 1;
      const missing = (this.#missing[sequence] ?? 0) - 1;
      this.#missing[sequence] = missing;
      if (missing === 0) this.onComplete?.(sequence);
    };
    if (this.#isTimelineOnly) for (const [sequence, sentUs] of timelineMarkers(body, false)) take(sequence, sentUs);
    else eachMarker(body, take);
    if (this.#outstandingCount === 0) this.#idle?.();
  }

  #seenBy(client: number, sequence: number): Uint8Array {
    const seen = this.#seen[client] ?? new Uint8Array(1024);
    if (sequence < seen.length) return seen;
    const larger = new Uint8Array(Math.max(sequence + 1, seen.length * 2));
    larger.set(seen);
    this.#seen[client] = larger;
    return larger;
  }

  /** Latencies since the last call, in milliseconds. */
  takeLatencies(): number[] {
    const taken = this.#latenciesMs;
    this.#latenciesMs = [];
    return taken;
  }

  /** Resolves when everything announced has arrived, or after `limitMs`. */
  async settled(limitMs: number): Promise<boolean> {
    if (this.#outstandingCount === 0) return true;
    const arrived = new Promise<boolean>((resolve) => {
      this.#idle = () => resolve(true);
    });
    const outcome = await Promise.race([arrived, Bun.sleep(limitMs).then(() => false)]);
    this.#idle = null;
    return outcome;
  }

  /** Counts over everything announced so far. */
  count(): Counted {
    let lostCount = 0;
    let doubledCount = 0;
    for (const [sequence, recipients] of this.#recipients.entries()) {
      for (const client of recipients) {
        const times = this.#seen[client]?.[sequence] ?? 0;
        if (times === 0) lostCount += 1;
        else if (times > 1) doubledCount += times - 1;
      }
    }
    return { deliveredCount: this.#deliveredCount, lostCount, doubledCount };
  }
}
