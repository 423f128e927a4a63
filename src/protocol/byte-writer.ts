const encoder = new TextEncoder();
const INITIAL_BYTES = 4096;
/** A UTF-16 unit takes at most three bytes in UTF-8. */
const MAX_BYTES_PER_UNIT = 3;
const MAX_ASCII = 0x7f;
const SHORT_TEXT = 48;

/** A growing buffer in which a response is put together from texts and event bytes. */
export class ByteWriter {
  #buffer: Uint8Array<ArrayBuffer>;
  #length = 0;

  /** `expectedBytes`: about how much will be written, at least. */
  constructor(expectedBytes = INITIAL_BYTES) {
    this.#buffer = new Uint8Array(Math.max(INITIAL_BYTES, expectedBytes));
  }

  get length(): number {
    return this.#length;
  }

  text(text: string): void {
    this.#reserve(text.length * MAX_BYTES_PER_UNIT);
    const { length } = text;
    if (length <= SHORT_TEXT) {
      // Keys and separators: cheaper than a view and a call into the encoder.
      let at = this.#length;
      for (let index = 0; index < length; index += 1) {
        const unit = text.charCodeAt(index);
        if (unit > MAX_ASCII) {
          this.#encode(text);
          return;
        }
        this.#buffer[at] = unit;
        at += 1;
      }
      this.#length = at;
      return;
    }
    this.#encode(text);
  }

  bytes(bytes: Uint8Array): void {
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#length += bytes.length;
  }

  /** A copy of what was written, of exactly its length. */
  finish(): Uint8Array<ArrayBuffer> {
    return this.#buffer.slice(0, this.#length);
  }

  #encode(text: string): void {
    this.#length += encoder.encodeInto(text, this.#buffer.subarray(this.#length)).written;
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const grown = new Uint8Array(Math.max(needed, this.#buffer.length * 2));
    grown.set(this.#buffer.subarray(0, this.#length));
    this.#buffer = grown;
  }
}
