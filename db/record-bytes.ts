import { invariant } from "#src/errors.ts";
import { originalText, storableText } from "./text.ts";

const INITIAL_BYTES = 65_536;
/** The longest varint (2^53) plus any other fixed part. */
const MARGIN_BYTES = 16;
/** A UTF-16 unit takes at most three bytes in UTF-8. */
const MAX_BYTES_PER_UNIT = 3;
/** Shorter texts take less room spelled out than as a place. */
const SHORTEST_PLACE_UNITS = 4;

/** Writes records into one buffer that is used again and again. */
export class RecordWriter {
  #buffer = Buffer.allocUnsafe(INITIAL_BYTES);
  #length = 0;
  #sourceFrom = 0;
  #usesPlaces = false;
  #source = this.#buffer.subarray(0, 0);

  get length(): number {
    return this.#length;
  }

  /** With `usesPlaces`, texts are looked for in their source: smaller, unless it is compressed anyway, but slower. */
  start(format: number, usesPlaces: boolean): void {
    this.#length = 0;
    this.#usesPlaces = usesPlaces;
    this.byte(format);
  }

  /** A copy of what was written since `start`. */
  finish(): Uint8Array {
    return new Uint8Array(this.#buffer.subarray(0, this.#length));
  }

  byte(value: number): void {
    this.#reserve(MARGIN_BYTES);
    this.#buffer[this.#length++] = value;
  }

  /** A whole number from 0 to 2^53. */
  varint(value: number): void {
    this.#reserve(MARGIN_BYTES);
    let rest = value;
    while (rest >= 128) {
      // Beyond 32 bits, bit operators would cut the number.
      this.#buffer[this.#length++] = (rest % 128) | 128;
      rest = Math.floor(rest / 128);
    }
    this.#buffer[this.#length++] = rest;
  }

  double(value: number): void {
    this.#reserve(MARGIN_BYTES);
    this.#length = this.#buffer.writeDoubleLE(value, this.#length);
  }

  /** Bytes that the texts after it may refer to. */
  source(bytes: Uint8Array): void {
    this.varint(bytes.length);
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#length);
    this.#sourceFrom = this.#length;
    this.#length += bytes.length;
    this.#source = this.#buffer.subarray(this.#sourceFrom, this.#length);
  }

  /** Byte length × 2, + 1 where a place in the source follows instead of the text itself. */
  text(original: string): void {
    // UTF-8 cannot hold everything that a JSON string can.
    const text = storableText(original);
    if (this.#usesPlaces && text.length >= SHORTEST_PLACE_UNITS) {
      const at = this.#source.indexOf(text);
      if (at !== -1) {
        this.varint(Buffer.byteLength(text) * 2 + 1);
        this.varint(at);
        return;
      }
    }
    this.varint(Buffer.byteLength(text) * 2);
    this.#reserve(text.length * MAX_BYTES_PER_UNIT);
    this.#length += this.#buffer.write(text, this.#length);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#buffer.length) return;
    const grown = Buffer.allocUnsafe(Math.max(needed, this.#buffer.length * 2));
    this.#buffer.copy(grown, 0, 0, this.#length);
    const sourceLength = this.#source.length;
    this.#buffer = grown;
    this.#source = grown.subarray(this.#sourceFrom, this.#sourceFrom + sourceLength);
  }
}

/** Reads what a `RecordWriter` wrote, less the format byte. */
export class RecordReader {
  readonly #bytes: Uint8Array;
  readonly #buffer: Buffer;
  #at = 0;
  #sourceFrom = 0;

  constructor(bytes: Uint8Array) {
    // Of a buffer, `slice` would be no copy.
    this.#bytes = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.#buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#buffer.length;
  }

  byte(): number {
    const value = this.#buffer[this.#at++];
    invariant(value !== undefined, "a record is complete");
    return value;
  }

  varint(): number {
    let value = 0;
    let factor = 1;
    for (;;) {
      const byte = this.byte();
      if (byte < 128) return value + byte * factor;
      value += (byte - 128) * factor;
      factor *= 128;
    }
  }

  double(): number {
    const value = this.#buffer.readDoubleLE(this.#at);
    this.#at += 8;
    return value;
  }

  /** A view, not a copy. */
  source(): Uint8Array {
    const length = this.varint();
    this.#sourceFrom = this.#at;
    this.#at += length;
    invariant(this.#at <= this.#buffer.length, "a record is complete");
    return this.#bytes.subarray(this.#sourceFrom, this.#at);
  }

  text(): string {
    const header = this.varint();
    const length = header >> 1;
    if ((header & 1) === 0) {
      this.#at += length;
      return originalText(this.#buffer.toString("utf8", this.#at - length, this.#at));
    }
    const from = this.#sourceFrom + this.varint();
    return originalText(this.#buffer.toString("utf8", from, from + length));
  }

  skipSource(): void {
    const length = this.varint();
    this.#at += length;
  }

  skipText(): void {
    const header = this.varint();
    if ((header & 1) === 0) this.#at += header >> 1;
    else this.varint();
  }
}
