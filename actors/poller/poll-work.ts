import type { Packed } from "#src/protocol/packed.ts";
import { packPollBatch } from "#src/protocol/packed.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { PollOrigin, SyncOutline } from "#src/homeserver/sync-v2.ts";
import { PIECE_BYTES, readPiece } from "#src/homeserver/sync-v2.ts";
import type { PollerStats } from "./poller-stats.ts";

/**
 * A later poll is cut only when it is this large: one batch is one moment for those who watch. A first sync is cut finer, so
 * that live traffic gets in between.
 */
const LATER_PIECE_BYTES = 4 * 1024 * 1024;

interface PackedPiece {
  packed: Packed;
  nextRoom: number | null;
}

const keysOf = (batch: PollBatch): string => `${batch.otkCounts}\n${batch.fallbackKeyTypes}`;

/** One body on its way to ingest, batch by batch. */
export class PollWork {
  readonly #outline: SyncOutline;
  readonly #origin: PollOrigin;
  readonly #stats: PollerStats;
  readonly receivedAtMs: number;
  #room = 0;
  /** The batch that is sent and not answered yet: its bytes are gone, only where it ends is known. */
  #sentUntil: number | null = null;
  #prepared: PackedPiece | null = null;
  /** Rooms before this one are counted: a batch that is sent again must not count twice. */
  #countedUntil = -1;
  batchCount = 0;
  /** Key counts and unused fallback keys as this poll tells them; null until its last batch was read. */
  keys: string | null = null;

  constructor(outline: SyncOutline, origin: PollOrigin, stats: PollerStats, receivedAtMs: number) {
    this.#outline = outline;
    this.#origin = origin;
    this.#stats = stats;
    this.receivedAtMs = receivedAtMs;
  }

  /** True when nothing came but `since` and the keys as they were known before. */
  isQuiet(knownKeys: string | null): boolean {
    if (this.#outline.rooms.length > 0 || this.#origin.isFirstSync || this.#outline.nextBatch === "") return false;
    const { batch, rejectedCount } = readPiece(this.#outline, this.#origin, 0);
    const items = [batch.toDevice, batch.deviceListsChanged, batch.deviceListsLeft, batch.accountData];
    return rejectedCount === 0 && items.every(({ length }) => length === 0) && keysOf(batch) === knownKeys;
  }

  get nextBatch(): string {
    return this.#outline.nextBatch;
  }

  get roomCount(): number {
    return this.#outline.rooms.length;
  }

  get byteCount(): number {
    return this.#outline.bytes.length;
  }

  /** The batch to send now, again when it was sent before: its bytes were transferred, so it is read anew. */
  take(): Packed {
    const piece = this.#prepared ?? this.#read(this.#room);
    this.#prepared = null;
    this.#sentUntil = piece.nextRoom;
    return piece.packed;
  }

  /** Reads the batch after the one that was sent, while ingest works on that. */
  prepareNext(): void {
    if (this.#sentUntil !== null) this.#prepared = this.#read(this.#sentUntil);
  }

  /** The batch that was sent did not arrive: it comes first again. */
  rewind(): void {
    this.#prepared = null;
  }

  /** The batch that was sent is stored; true when it was the last. */
  advance(): boolean {
    this.batchCount++;
    if (this.#sentUntil === null) return true;
    this.#room = this.#sentUntil;
    return false;
  }

  #read(fromRoom: number): PackedPiece {
    const pieceBytes = this.#origin.isFirstSync ? PIECE_BYTES : LATER_PIECE_BYTES;
    const { batch, nextRoom, rejectedCount } = readPiece(this.#outline, this.#origin, fromRoom, { pieceBytes });
    if (fromRoom > this.#countedUntil) {
      this.#countedUntil = fromRoom;
      this.#stats.batchRead(batch, rejectedCount);
    }
    if (nextRoom === null) this.keys = keysOf(batch);
    return { packed: packPollBatch(batch), nextRoom };
  }
}
