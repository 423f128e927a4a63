import type { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { StoredConnection } from "#src/ports/stores.ts";
import type { LiveDevice } from "#actors/user/live-device.ts";
import type { ParamsHistory } from "./stored-params.ts";

/** A connection's memory while it is awake, as far as it is written down. */
export interface Written {
  incarnation: string;
  engine: ConnectionEngine;
  params: ParamsHistory;
  reader: { readonly device: Pick<LiveDevice, "reading">; readonly connId: ConnId };
}

/** A connection in use is written down at least this often, so that it does not expire. */
export const CONNECTION_TOUCH_MS = 30 * 60_000;

/** Makes the stored form of one connection, and knows what of it is stored already. */
export class ConnectionRecord {
  readonly #userId: UserId;
  readonly #deviceId: DeviceId;
  readonly #connId: ConnId;
  #text = "";
  #generation = 0;
  #writtenMs = 0;

  constructor(userId: UserId, deviceId: DeviceId, connId: ConnId) {
    this.#userId = userId;
    this.#deviceId = deviceId;
    this.#connId = connId;
  }

  /** The connection as it has to be stored; null when that is what is stored already. */
  next({ incarnation, engine, params, reader }: Written, nowMs: number): StoredConnection | null {
    const paramsText = params.stringify();
    const cursors = JSON.stringify(engine.snapshot());
    const text = `${incarnation}${paramsText}${cursors}`;
    if (text === this.#text && nowMs - this.#writtenMs < CONNECTION_TOUCH_MS) return null;
    this.#text = text;
    this.#generation = engine.generation;
    this.#writtenMs = nowMs;
    return {
      userId: this.#userId,
      deviceId: this.#deviceId,
      connId: this.#connId,
      incarnation,
      params: paramsText,
      cursors,
      // Written along: for the sake of these alone nothing is written.
      ...reader.device.reading(reader.connId),
      lastUsedMs: nowMs,
    };
  }

  /** True when what is stored proves nothing of the rooms the client holds now. */
  isOutdated(engine: ConnectionEngine): boolean {
    return engine.generation !== this.#generation;
  }

  /** It is not known what is stored: the next row is written whatever it says. */
  forget(): void {
    this.#text = "";
  }
}
