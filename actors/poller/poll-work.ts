import type { Packed } from "#src/protocol/packed.ts";
import { packPollBatch } from "#src/protocol/packed.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { PollOrigin, SyncOutline } from "#src/homeserver/sync-v2.ts";
import type { EventsMemo } from "#src/homeserver/events-memo.ts";
import { PIECE_BYTES, readPiece } from "#src/homeserver/sync-v2.ts";
import type { StoringProgress } from "#src/admin/api.ts";
import type { PollerStats } from "./poller-stats.ts";

/**
 * A later poll is cut only when it is this large: one batch is one moment for those who watch. A first sync is cut finer, so
 * that live traffic gets in between.
 */
const LATER_PIECE_BYTES = 4 * 1024 * 1024;

/** Batches under way to ingest at once: one is committed while the next is reduced and the one behind it read. */
const SENT_AHEAD = 3;

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
  readonly #memo: EventsMemo;
  readonly receivedAtMs: number;
  #room = 0;
  /** Batches that are sent and not answered yet, oldest first: their bytes are gone, only where each ends is known. */
  #sent: (number | null)[] = [];
  #prepared: PackedPiece | null = null;
  /** Rooms before this one are counted: a batch that is sent again must not count twice. */
  #countedUntil = -1;
  batchCount = 0;
  /** Key counts and unused fallback keys as this poll tells them; null until its last batch was read. */
  keys: string | null = null;

  constructor(outline: SyncOutline, origin: PollOrigin, stats: PollerStats, memo: EventsMemo, receivedAtMs: number) {
    this.#memo = memo;
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

  get bodyHash(): bigint {
    return Bun.hash.wyhash(this.#outline.bytes);
  }

  get roomCount(): number {
    return this.#outline.rooms.length;
  }

  get byteCount(): number {
    return this.#outline.bytes.length;
  }

  /** How much of it is stored. */
  get progress(): StoringProgress {
    const { rooms, bytes } = this.#outline;
    const first = rooms[0]?.at ?? 0;
    return {
      roomsDone: this.#room,
      roomsTotal: rooms.length,
      bytesDone: this.#room === 0 ? 0 : (rooms[this.#room]?.at ?? bytes.length) - first,
      bytesTotal: bytes.length,
    };
  }

  /** Whether a batch is sent and not answered yet. */
  get isUnderWay(): boolean {
    return this.#sent.length > 0;
  }

  /** Whether there are batches behind those that were sent. */
  get hasMore(): boolean {
    return this.#sent.at(-1) !== null;
  }

  /** The next batch to send; null while it has to wait for those before it. */
  take(): Packed | null {
    const from = this.#sent.length === 0 ? this.#room : (this.#sent.at(-1) ?? null);
    if (from === null || this.#sent.length >= SENT_AHEAD) return null;
    const piece = (this.#prepared ??= this.#read(from));
    // Its `since` stands for all of them: it must not be stored before the others are.
    if (piece.nextRoom === null && this.#sent.length > 0) return null;
    this.#prepared = null;
    this.#sent.push(piece.nextRoom);
    return piece.packed;
  }

  /** A batch did not arrive: it comes first again, read anew, for its bytes were transferred. */
  rewind(): void {
    this.#prepared = null;
    this.#sent = [];
  }

  /** The oldest batch that was sent is stored; true when it was the last of all. */
  advance(): boolean {
    this.batchCount++;
    const until = this.#sent.shift();
    if (until === null) return true;
    this.#room = until ?? this.#room;
    return false;
  }

  #read(fromRoom: number): PackedPiece {
    const pieceBytes = this.#origin.isFirstSync ? PIECE_BYTES : LATER_PIECE_BYTES;
    const { batch, nextRoom, rejectedCount } = readPiece(this.#outline, this.#origin, fromRoom, {
      pieceBytes,
      memo: this.#memo,
    });
    if (fromRoom > this.#countedUntil) {
      this.#countedUntil = fromRoom;
      this.#stats.batchRead(batch, rejectedCount);
    }
    if (nextRoom === null) this.keys = keysOf(batch);
    return { packed: packPollBatch(batch), nextRoom };
  }
}
