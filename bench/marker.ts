/** Every event sent during a measurement carries its number and its time of sending where a byte search finds them. */
const MARKER = '"bench":"';
const NUMBER_DIGITS = 9;
const TIME_DIGITS = 16;
const MARKER_BYTES = Buffer.from(MARKER);

/** Microseconds on the wall clock: the one clock that two processes share. */
export function nowUs(): number {
  return Math.round((performance.timeOrigin + performance.now()) * 1000);
}

/** The content member that marks an event. */
export function markerFor(sequence: number, sentUs: number): string {
  return `${MARKER}${String(sequence).padStart(NUMBER_DIGITS, "0")}:${String(sentUs).padStart(TIME_DIGITS, "0")}"`;
}

function digits(body: Uint8Array, from: number, count: number): number {
  let value = 0;
  for (let index = from; index < from + count; index += 1) value = value * 10 + ((body[index] ?? 48) - 48);
  return value;
}

/** Calls `found` for every marked event in a body, in order of appearance, without parsing anything else. */
export function eachMarker(body: Buffer, found: (sequence: number, sentUs: number) => void): void {
  let at = body.indexOf(MARKER_BYTES);
  while (at !== -1) {
    const number = at + MARKER_BYTES.length;
    found(digits(body, number, NUMBER_DIGITS), digits(body, number + NUMBER_DIGITS + 1, TIME_DIGITS));
    at = body.indexOf(MARKER_BYTES, number + NUMBER_DIGITS + TIME_DIGITS);
  }
}
