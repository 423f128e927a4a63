import { SyncError } from "#src/errors.ts";
import type { Rng } from "#src/ports/basics.ts";
import type { RepairStore } from "#src/ports/repair.ts";
import type { ConnectionStore, DeviceStore, IngestStore, RoomReader } from "#src/ports/stores.ts";

/** The stores, whatever they are kept in. */
export interface Stores {
  ingest: IngestStore;
  rooms: RoomReader;
  connections: ConnectionStore;
  devices: DeviceStore;
  repair: RepairStore;
}

/** One call of a store. */
export interface StoreCall {
  store: keyof Stores;
  method: string;
  args: readonly unknown[];
}

/** What goes wrong with one call. */
export interface CallFault {
  /** False: the store never hears of it. */
  isPerformed: boolean;
  /** Runs at the very moment between the store's work and its answer. */
  after?: () => void;
  /** The answer waits for this. */
  until?: Promise<void>;
  /** In place of the answer. */
  error?: SyncError;
  /** Thrown at the caller at once, within its turn. */
  crash?: Error;
}

const away = (): SyncError => new SyncError("storage_unavailable", "made up: the database is away");

/** The database cannot be reached. */
export const refused = (): CallFault => ({ isPerformed: false, error: away() });
/** It did the work, and the connection broke before it could say so. */
export const answerLost = (after?: () => void): CallFault => ({
  isPerformed: true,
  error: away(),
  ...(after === undefined ? {} : { after }),
});
/** It will not have this data. */
export const poisoned = (): CallFault => ({
  isPerformed: false,
  error: new SyncError("internal", "made up: the database refuses the data"),
});

/** The work is done at once, the answer comes when `until` resolves. */
export const late = (until: Promise<void>): CallFault => ({ isPerformed: true, until });
/** A bug: the caller's turn throws. */
export const crashing = (): CallFault => ({ isPerformed: false, crash: new Error("made up: a bug") });

/** An answer that is none: whoever looks at it crashes. */
export const garbled = (): CallFault => ({ isPerformed: false });

/** Decides about a call; null lets it pass. */
export type FaultRule = (call: StoreCall) => CallFault | null;

/** Which calls fail, for all hosts of a node; and how long calls take, in turns of the event loop. */
export class StoreFaults {
  /** While true nothing can be reached. */
  isDown = false;
  readonly #rules = new Set<FaultRule>();
  readonly #rng: Rng | null;

  /** With `rng` every call takes a few turns of the event loop, more or less by chance. */
  constructor(rng: Rng | null = null) {
    this.#rng = rng;
  }

  /** Adds a rule until the returned function is called. */
  add(rule: FaultRule): () => void {
    this.#rules.add(rule);
    return () => this.#rules.delete(rule);
  }

  /** The next call of this method goes wrong, once. */
  next(method: string, fault: CallFault): void {
    const remove = this.add((call) => {
      if (call.method !== method) return null;
      remove();
      return fault;
    });
  }

  decide(call: StoreCall): CallFault | null {
    if (this.isDown) return refused();
    for (const rule of this.#rules) {
      const fault = rule(call);
      if (fault !== null) return fault;
    }
    return null;
  }

  /** Gives others their turn, as a round trip would. */
  async travel(): Promise<void> {
    const turns = this.#rng === null ? 0 : Math.floor(this.#rng.next() * 4);
    for (let turn = 0; turn < turns; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  }
}

/** The stores as one life of one host has them: what it had not sent when it died is never done. */
export class HostStores implements Stores {
  readonly ingest: IngestStore;
  readonly rooms: RoomReader;
  readonly connections: ConnectionStore;
  readonly devices: DeviceStore;
  readonly repair: RepairStore;
  readonly #faults: StoreFaults;
  #isClosed = false;

  constructor(stores: Stores, faults: StoreFaults) {
    this.#faults = faults;
    this.ingest = this.#wrap("ingest", stores.ingest);
    this.rooms = this.#wrap("rooms", stores.rooms);
    this.connections = this.#wrap("connections", stores.connections);
    this.devices = this.#wrap("devices", stores.devices);
    this.repair = this.#wrap("repair", stores.repair);
  }

  close(): void {
    this.#isClosed = true;
  }

  #wrap<K extends keyof Stores>(store: K, target: Stores[K]): Stores[K] {
    return new Proxy(target, {
      get: (of, method) => {
        const value: unknown = Reflect.get(of, method);
        if (typeof value !== "function" || typeof method !== "string") return value;
        return (...args: unknown[]): Promise<unknown> => {
          const fault = this.#faults.decide({ store, method, args });
          if (fault?.crash !== undefined) throw fault.crash;
          return this.#call(fault, () => Reflect.apply(value, of, args) as Promise<unknown>);
        };
      },
    });
  }

  async #call(fault: CallFault | null, perform: () => Promise<unknown>): Promise<unknown> {
    await this.#faults.travel();
    if (this.#isClosed) throw away();
    const value = fault === null || fault.isPerformed ? await perform() : undefined;
    fault?.after?.();
    await fault?.until;
    await this.#faults.travel();
    if (fault?.error !== undefined) throw fault.error;
    return value;
  }
}
