import type { Engine } from "#src/protocol/engine/engine-api.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { ConnectionStore } from "#src/ports/stores.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import { ConnectionRecord, type Written } from "./connection-record.ts";
import type { ConnectionMessage } from "./messages.ts";

/** Work ids of what is not a response: the stored connection being read, and deletions and saves nobody waits for. */
export const LOAD_WORK = -1;
export const BACKGROUND_WORK = -2;
/** What the client holds is written down this long after it changed. */
const CURSOR_FLUSH_MS = 500;

/** How one connection reaches storage: what it waits for, and what is written behind. */
export class ConnectionStorage {
  readonly #context: ActorContext<ConnectionMessage>;
  readonly #store: ConnectionStore;
  readonly #key: readonly [UserId, DeviceId, ConnId];
  readonly #record: ConnectionRecord;
  /** False where nothing is written, because there is nothing to come back to. */
  readonly #isKept: boolean;
  #isFlushScheduled = false;

  constructor(
    context: ActorContext<ConnectionMessage>,
    store: ConnectionStore,
    key: readonly [UserId, DeviceId, ConnId],
    isKept: boolean,
  ) {
    this.#context = context;
    this.#store = store;
    this.#key = key;
    this.#isKept = isKept;
    this.#record = new ConnectionRecord(...key);
  }

  /** Comes back as `stored-loaded`. */
  load(): void {
    this.#context.pipe(
      this.#store.load(...this.#key),
      (stored) => ({ type: "stored-loaded", stored }),
      (error) => ({ type: "work-failed", workId: LOAD_WORK, error }),
    );
  }

  /** Writes the connection as it is; null when that is what is stored already. */
  save(awake: Written | null): Promise<void> | null {
    const row = awake === null || !this.#isKept ? null : this.#record.next(awake, this.#context.clock.now());
    return row === null ? null : this.#store.save(row);
  }

  /** Writes what a response rests on before it leaves: new parameters, and new rooms where they are few; null when there is nothing to. */
  saveBefore(
    awake: Written & { engine: Pick<Engine, "isSoonWritten"> },
    news: { isNewParams: boolean; hasInitialRooms: boolean },
  ): Promise<void> | null {
    const areRoomsDue = news.hasInitialRooms || this.#record.isUnproven(awake.engine);
    if (areRoomsDue && awake.engine.isSoonWritten) return this.save(awake);
    return news.isNewParams ? this.#saveParams(awake) : null;
  }

  #saveParams(awake: Written): Promise<void> | null {
    const row = this.#isKept ? this.#record.nextParams(awake, this.#context.clock.now()) : null;
    return row === null ? null : this.#store.save(row);
  }

  /** Writes it behind, now. */
  flush(awake: Written | null): void {
    this.inBackground(this.save(awake));
  }

  /** Writes it behind, with the message `flush-cursors`, and once for all that happens until then. */
  flushSoon(): void {
    if (this.#isFlushScheduled) return;
    this.#isFlushScheduled = true;
    this.#context.after(CURSOR_FLUSH_MS, { type: "flush-cursors" });
  }

  flushIsDue(awake: Written | null): void {
    this.#isFlushScheduled = false;
    this.flush(awake);
  }

  /** A response was sent: rooms that the client holds from now on have to be written down. */
  noteSent(awake: Written, hasInitialRooms: boolean): void {
    if (!this.#isKept) return;
    if (hasInitialRooms || this.#record.isOutdated(awake.engine)) this.flushSoon();
  }

  /** Nobody may take the connection up again. */
  remove(): void {
    if (this.#isKept) this.inBackground(this.#store.delete(...this.#key));
  }

  /** It is not known what is stored. */
  distrust(): void {
    this.#record.forget();
  }

  inBackground(promise: Promise<void> | null): void {
    if (promise !== null) this.wait(BACKGROUND_WORK, promise);
  }

  /** Comes back as `work-ready` or `work-failed`. */
  wait(workId: number, promise: Promise<void>): void {
    this.#context.pipe(
      promise,
      () => ({ type: "work-ready", workId }),
      (error) => ({ type: "work-failed", workId, error }),
    );
  }
}
