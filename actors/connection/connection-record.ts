import { EXTENSION_NAMES } from "#src/protocol/engine/draft.ts";
import type { CursorSnapshot } from "#src/protocol/engine/proof.ts";
import type { Engine } from "#src/protocol/engine/engine-api.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { StoredConnection } from "#src/ports/stores.ts";
import type { LiveDevice } from "#actors/user/live-device.ts";
import type { ParamsHistory } from "./stored-params.ts";

/** A connection's memory while it is awake, as far as it is written down. */
export interface Written {
  incarnation: string;
  engine: Pick<Engine, "version" | "generation" | "extensionSince" | "snapshot">;
  params: ParamsHistory;
  reader: { readonly device: Pick<LiveDevice, "reading">; readonly connId: ConnId };
}

/**
 * A connection in use is written down at least this often, so that it does not expire. Without a request for as long its memory goes,
 * and comes back from storage with its `pos`.
 */
export const CONNECTION_TOUCH_MS = 30 * 60_000;

/** Makes the stored form of one connection, and knows what of it is stored already. */
export class ConnectionRecord {
  readonly #userId: UserId;
  readonly #deviceId: DeviceId;
  readonly #connId: ConnId;
  /** Of what is stored, which itself may be large and is only compared; null = not known. */
  #digest: string | null = null;
  #incarnation = "";
  #extensions = "";
  #version = 0;
  #generation = 0;
  /** New rooms in it are in a response that was not acknowledged when it was written. */
  #hasPendingRooms = false;
  #writtenMs = 0;

  constructor(userId: UserId, deviceId: DeviceId, connId: ConnId) {
    this.#userId = userId;
    this.#deviceId = deviceId;
    this.#connId = connId;
  }

  /** The connection as it has to be stored; null when that is what is stored already. */
  next(written: Written, nowMs: number): StoredConnection | null {
    const { incarnation, engine, params } = written;
    const paramsText = params.stringify();
    const snapshot = engine.snapshot();
    const cursors = JSON.stringify(snapshot);
    const digest = digestOf(`${incarnation}${paramsText}${cursors}`);
    if (digest === this.#digest && nowMs - this.#writtenMs < CONNECTION_TOUCH_MS) return null;
    this.#digest = digest;
    this.#incarnation = incarnation;
    this.#extensions = extensionsOf(engine);
    this.#version = engine.version;
    this.#generation = engine.generation;
    this.#hasPendingRooms = hasNewRooms(snapshot);
    this.#writtenMs = nowMs;
    return this.#row(written, paramsText, cursors, nowMs);
  }

  /** The same for new parameters alone, as long as what is stored of the rest holds: a window grows, and what it shows is told later. */
  nextParams(written: Written, nowMs: number): StoredConnection | null {
    const { incarnation, engine, params } = written;
    const holds =
      incarnation === this.#incarnation &&
      !this.isOutdated(engine) &&
      // Not a snapshot: that one costs what the client holds.
      extensionsOf(engine) === this.#extensions;
    return holds ? this.#row(written, params.stringify(), null, nowMs) : this.next(written, nowMs);
  }

  #row({ incarnation, reader }: Written, params: string, cursors: string | null, lastUsedMs: number): StoredConnection {
    return {
      userId: this.#userId,
      deviceId: this.#deviceId,
      connId: this.#connId,
      incarnation,
      params,
      cursors,
      // Written along: for the sake of these alone nothing is written.
      ...reader.device.reading(reader.connId),
      lastUsedMs,
    };
  }

  /** True when what is stored proves nothing of the rooms the client holds now. */
  isOutdated(engine: Pick<Engine, "version">): boolean {
    return engine.version !== this.#version;
  }

  /**
   * True when what is stored would not prove rooms that were new when it was written: the client has acknowledged them, but that a
   * later position of another generation says so, nobody could tell.
   */
  isUnproven(engine: Pick<Engine, "version" | "generation">): boolean {
    return this.#hasPendingRooms && this.isOutdated(engine) && engine.generation !== this.#generation;
  }

  /** It is not known what is stored: the next row is written whatever it says. */
  forget(): void {
    this.#digest = null;
    this.#incarnation = "";
  }
}

/** Texts of one connection that meet by chance would cost a write, until the next change. */
const digestOf = (text: string): string => `${text.length} ${Bun.hash.wyhash(text).toString(36)}`;

function hasNewRooms({ remembered }: CursorSnapshot): boolean {
  const pending = remembered?.pending?.rooms ?? [];
  if (pending.length === 0) return false;
  const held = new Set(remembered?.rooms.map(([nid]) => nid));
  return pending.some(([nid]) => !held.has(nid));
}

function extensionsOf(engine: Pick<Engine, "extensionSince">): string {
  return EXTENSION_NAMES.map((name) => engine.extensionSince(name) ?? "").join();
}
