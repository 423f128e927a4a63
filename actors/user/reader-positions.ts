import type { ConnId, StreamPos } from "#src/protocol/ids.ts";
import { SmallMap } from "#src/small-collections.ts";

/**
 * How far each connection of a device has taken a stream that they share (to-device messages, device lists). What all
 * of them have can be deleted; what one has acknowledged, the device has, so a connection that is new begins there.
 */
export class ReaderPositions {
  /** As written down, of connections that sleep. */
  #asleep = new SmallMap<ConnId, StreamPos>();
  readonly #awake = new SmallMap<ConnId, StreamPos>();

  /** What storage says of all connections that have read this stream; of those awake it is out of date. */
  adopt(stored: ReadonlyMap<ConnId, StreamPos>): void {
    this.#asleep = new SmallMap([...stored].filter(([connId]) => !this.#awake.has(connId)));
  }

  /** What storage says of one connection, as long as nothing else is known of it. */
  recall(connId: ConnId, pos: StreamPos): void {
    if (this.of(connId) === null) this.#asleep.set(connId, pos);
  }

  /** The client of a connection says that it has everything up to here. */
  acknowledged(connId: ConnId, pos: StreamPos): void {
    this.#asleep.delete(connId);
    this.#awake.set(connId, pos);
  }

  /** Where a connection reads on: behind what it had, or, when it is new, behind what the device has. */
  begin(connId: ConnId): StreamPos {
    const own = this.#awake.get(connId) ?? this.#asleep.get(connId);
    const pos = own ?? Math.max(0, ...this.#asleep.values(), ...this.#awake.values());
    this.acknowledged(connId, pos);
    return pos;
  }

  /** The connection does not read this stream (any more): nothing is kept for it. */
  ended(connId: ConnId): void {
    this.#asleep.delete(connId);
    this.#awake.delete(connId);
  }

  fellAsleep(connId: ConnId): void {
    const pos = this.#awake.get(connId);
    if (pos === undefined) return;
    this.#awake.delete(connId);
    this.#asleep.set(connId, pos);
  }

  of(connId: ConnId): StreamPos | null {
    return this.#awake.get(connId) ?? this.#asleep.get(connId) ?? null;
  }

  /** Every connection has what is at or before this; 0 when none reads. */
  get takenByAll(): StreamPos {
    const all = [...this.#asleep.values(), ...this.#awake.values()];
    return all.length === 0 ? 0 : Math.min(...all);
  }
}
