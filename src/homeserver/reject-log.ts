import type { Rejected } from "#src/protocol/poll-batch.ts";

/** Entries kept for one batch; what is beyond them is only counted. */
const MAX_ENTRIES = 100;

/** Bytes of one offender that are kept. */
const MAX_SAMPLE_BYTES = 2048;

/** What was skipped in one batch, bounded. */
export class RejectLog {
  readonly entries: Rejected[] = [];
  /** All of them, the ones that are not kept included. */
  count = 0;

  /** Notes the bytes in [start, end) as skipped. */
  add(roomId: string | null, section: string, reason: string, bytes: Uint8Array, start: number, end: number): void {
    this.count++;
    if (this.entries.length >= MAX_ENTRIES) return;
    const sample = bytes.subarray(start, Math.max(start, Math.min(end, start + MAX_SAMPLE_BYTES)));
    this.entries.push({ roomId, section, reason, sample: Buffer.from(sample).toString("base64") });
  }

  append(other: RejectLog): void {
    this.count += other.count;
    this.entries.push(...other.entries.slice(0, MAX_ENTRIES - this.entries.length));
  }
}
