/** Since when nobody has asked for a device, and from when on that counts as idle. */
export class Idleness {
  readonly #idleMs: number;
  #lastUsedMs: number;

  /** `idleMs` null = never. */
  constructor(idleMs: number | null, nowMs: number) {
    this.#idleMs = idleMs ?? Number.POSITIVE_INFINITY;
    this.#lastUsedMs = nowMs;
  }

  used(nowMs: number): void {
    this.#lastUsedMs = nowMs;
  }

  /** How long until it is idle; not above 0 when it is. */
  leftMs(nowMs: number): number {
    return this.#lastUsedMs + this.#idleMs - nowMs;
  }
}
