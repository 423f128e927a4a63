import type { RoomId, UserId } from "#src/protocol/ids.ts";

/** Rooms that wait; beyond it suspicions are dropped, and show again. */
const WAITING_LIMIT = 10_000;
/** A room that was just compared is not compared again for a mere suspicion. */
const COOL_DOWN_MS = 10 * 60_000;
/** Rooms remembered as just compared. */
const COMPARED_LIMIT = 10_000;

/** One room to be compared with the homeserver. */
export interface RoomTask {
  roomId: RoomId;
  /** Who should be in it; null = anybody of ours. */
  userId: UserId | null;
  /** Suspicion, or who asked: for logs and metrics. */
  reason: string;
  /** An operator wants it: whatever was compared before, and clients are sent it anew. */
  isForced: boolean;
  /** Request of an operator that waits for it, and how far that has come then. */
  request: { id: number; nid: number } | null;
  attempts: number;
  notBeforeMs: number;
}

/** Rooms that wait to be compared, each once; what operators ask for goes first. */
export class RepairQueue {
  readonly #tasks = new Map<RoomId, RoomTask>();
  readonly #comparedMs = new Map<RoomId, number>();
  /** Suspicions that found no place. */
  dropped = 0;

  get size(): number {
    return this.#tasks.size;
  }

  /** False when the room was compared a moment ago, or there are too many. */
  add(task: RoomTask, nowMs: number): boolean {
    const waiting = this.#tasks.get(task.roomId);
    if (waiting !== undefined) {
      if (task.isForced && !waiting.isForced) this.#tasks.set(task.roomId, task);
      return true;
    }
    if (!task.isForced) {
      const comparedMs = this.#comparedMs.get(task.roomId);
      if (comparedMs !== undefined && nowMs - comparedMs < COOL_DOWN_MS) return false;
      if (this.#tasks.size >= WAITING_LIMIT) {
        this.dropped++;
        return false;
      }
    }
    this.#tasks.set(task.roomId, task);
    return true;
  }

  /** Puts back a room whose reading failed, to be tried once more. */
  addAgain(task: RoomTask): void {
    const waiting = this.#tasks.get(task.roomId);
    if (waiting?.isForced !== true || task.isForced) this.#tasks.set(task.roomId, task);
  }

  /** The next room whose time has come; null when none's has. */
  take(nowMs: number): RoomTask | null {
    const task = this.#first(nowMs, true) ?? this.#first(nowMs, false);
    if (task === null) return null;
    this.#tasks.delete(task.roomId);
    this.#comparedMs.delete(task.roomId);
    this.#comparedMs.set(task.roomId, nowMs);
    for (const oldest of this.#comparedMs.keys()) {
      if (this.#comparedMs.size <= COMPARED_LIMIT) break;
      this.#comparedMs.delete(oldest);
    }
    return task;
  }

  /** When `take` may have something again; null when nothing waits. */
  nextMs(): number | null {
    let next: number | null = null;
    for (const { notBeforeMs } of this.#tasks.values()) next = Math.min(next ?? notBeforeMs, notBeforeMs);
    return next;
  }

  #first(nowMs: number, isForced: boolean): RoomTask | null {
    for (const task of this.#tasks.values()) {
      if (task.isForced === isForced && task.notBeforeMs <= nowMs) return task;
    }
    return null;
  }
}
