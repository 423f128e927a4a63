/** A long poll that ends sooner than this was not held. */
const HELD_MS = 1000;

/** Longest pause between polls that are not held: what the homeserver then has to say must still be heard soon. */
const MAX_DELAY_MS = 200;

/** Polls in a row that brought nothing after which the next one waits. */
const FREE_SPINS = 2;

/**
 * Notices a homeserver that does not hold long polls and answers the same again and again, so that it is not hammered. What brings a
 * new `since`, or another body than the one before, is no spin: a homeserver with much to say is heard at once.
 */
export class SpinWatch {
  #spins = 0;
  #lastHash: bigint | null = null;

  /** A poll is stored; its body is hashed only where it matters. */
  stored(poll: { timeoutMs: number; tookMs: number; hasAdvanced: boolean; hash: () => bigint }): void {
    const isEarly = poll.timeoutMs > 0 && poll.tookMs < HELD_MS && !poll.hasAdvanced;
    const hash = isEarly ? poll.hash() : null;
    this.#spins = hash !== null && hash === this.#lastHash ? this.#spins + 1 : 0;
    this.#lastHash = hash;
  }

  /** How long to wait before the next poll. */
  get delayMs(): number {
    return this.#spins < FREE_SPINS ? 0 : Math.min(MAX_DELAY_MS, 50 * 2 ** Math.min(this.#spins - FREE_SPINS, 20));
  }
}
