/**
 * Everybody a commit concerns, until the last of them has taken it in. Stays within one host, handed on in its messages:
 * whoever passes a commit on enters the receiver before leaving itself.
 */
export class Barrier {
  #inside = 1;
  readonly #opened: () => void;

  /** Entered once by its maker; `opened` is called when the last one has left. */
  constructor(opened: () => void) {
    this.#opened = opened;
  }

  enter(): void {
    this.#inside += 1;
  }

  leave(): void {
    this.#inside -= 1;
    if (this.#inside === 0) this.#opened();
  }
}
