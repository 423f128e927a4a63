import type { ConnId, DeviceId, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { DeviceSnapshot, RoomReader } from "#src/ports/stores.ts";
import { ReaderPositions } from "./reader-positions.ts";

/** How far one connection has read what its device shares; null = it does not read it. */
export interface DeviceReading {
  toDevicePos: StreamPos | null;
  deviceListsPos: StreamPos | null;
}

/** A connection as a reader of its device's data. */
export interface DeviceReader {
  readonly device: LiveDevice;
  readonly connId: ConnId;
}

/** One device's own data: read when first asked for, and again when it has changed. */
export class LiveDevice {
  readonly #userId: UserId;
  readonly deviceId: DeviceId;
  readonly #reader: RoomReader;
  readonly #toDevice = new ReaderPositions();
  readonly #deviceLists = new ReaderPositions();
  #snapshot: DeviceSnapshot | null = null;
  /** Counts changes of keys and lists; a snapshot read before the latest one is read again. */
  #changes = 0;
  #snapshotChanges = 0;
  /** Newest to-device message told of since the start; storage may know of newer ones. */
  #toldPos: StreamPos = 0;
  /** To-device messages up to here are deleted. */
  #deletedUpTo: StreamPos = 0;
  /** To-device messages up to here may be in a response. */
  #sentUpTo: StreamPos = 0;

  constructor(userId: UserId, deviceId: DeviceId, reader: RoomReader) {
    this.#userId = userId;
    this.deviceId = deviceId;
    this.#reader = reader;
  }

  /** As last read; null before that. */
  get snapshot(): DeviceSnapshot | null {
    return this.#snapshot;
  }

  /** The newest to-device message there is; 0 = none. */
  get toDevicePos(): StreamPos {
    return Math.max(this.#snapshot?.toDevicePos ?? 0, this.#toldPos);
  }

  get sentUpTo(): StreamPos {
    return this.#sentUpTo;
  }

  messageCame(pos: StreamPos): void {
    this.#toldPos = Math.max(this.#toldPos, pos);
  }

  changed(): void {
    this.#changes += 1;
  }

  /** Brings keys and lists into memory; null when they are there as they are now. */
  ensure(): Promise<void> | null {
    return this.#snapshot !== null && this.#snapshotChanges === this.#changes ? null : this.#read();
  }

  /** Where a connection reads to-device messages from: `since` is its own, null when it names none of ours. */
  toDeviceAfter(connId: ConnId, since: StreamPos | null): StreamPos {
    return since ?? this.#toDevice.begin(connId);
  }

  /** What is sent to no client yet is behind this. */
  toDeviceSent(pos: StreamPos): void {
    this.#sentUpTo = Math.max(this.#sentUpTo, pos);
  }

  /** From where on device lists are told to a connection that has not been told any. */
  deviceListsAfter(connId: ConnId): StreamPos {
    return this.#deviceLists.begin(connId);
  }

  /** A connection has all messages up to `pos`; deletes what every one has, null when there is nothing to delete. */
  acknowledgeToDevice(connId: ConnId, pos: StreamPos): Promise<void> | null {
    this.#toDevice.acknowledged(connId, pos);
    const upTo = this.#toDevice.takenByAll;
    // Which connections there are beside it is only known with the snapshot; its client will say so again.
    if (this.#snapshot === null || this.toDevicePos === 0 || upTo <= this.#deletedUpTo) return null;
    this.#deletedUpTo = upTo;
    return this.#reader.deleteToDevice(this.#userId, this.deviceId, upTo);
  }

  /**
   * A connection has all device-list changes up to `pos`; deletes what every one has, null when there is nothing to delete. So many of
   * the newest are `kept` for others whose positions nobody knows.
   */
  acknowledgeDeviceLists(connId: ConnId, pos: StreamPos, kept = 0): Promise<void> | null {
    this.#deviceLists.acknowledged(connId, pos);
    const last = this.#snapshot?.deviceLists.at(-kept - 1);
    const upTo = Math.min(this.#deviceLists.takenByAll, last?.pos ?? 0);
    const first = this.#snapshot?.deviceLists[0];
    if (this.#snapshot === null || first === undefined || first.pos > upTo) return null;
    const deviceLists = this.#snapshot.deviceLists.filter((change) => change.pos > upTo);
    const isForgotten = kept > 0;
    const from = this.#snapshot.deviceListsFrom;
    const deviceListsFrom = isForgotten || from > 0 ? Math.max(from, upTo) : 0;
    this.#snapshot = { ...this.#snapshot, deviceLists, deviceListsFrom };
    return this.#reader.deleteDeviceLists(this.#userId, this.deviceId, upTo, isForgotten);
  }

  /** Whether all changes after `pos` are still known, once the device is in memory. */
  hasDeviceListsAfter(pos: StreamPos): boolean {
    return pos >= (this.#snapshot?.deviceListsFrom ?? 0);
  }

  /** A connection reads these no more. */
  ended(connId: ConnId, { toDevice, deviceLists }: { toDevice: boolean; deviceLists: boolean }): void {
    if (toDevice) this.#toDevice.ended(connId);
    if (deviceLists) this.#deviceLists.ended(connId);
  }

  /** How far a connection had read that is taken up: it is written down again before the device is in memory. */
  wasReading(connId: ConnId, { toDevicePos, deviceListsPos }: DeviceReading): void {
    if (toDevicePos !== null) this.#toDevice.recall(connId, toDevicePos);
    if (deviceListsPos !== null) this.#deviceLists.recall(connId, deviceListsPos);
  }

  fellAsleep(connId: ConnId): void {
    this.#toDevice.fellAsleep(connId);
    this.#deviceLists.fellAsleep(connId);
  }

  reading(connId: ConnId): DeviceReading {
    return { toDevicePos: this.#toDevice.of(connId), deviceListsPos: this.#deviceLists.of(connId) };
  }

  async #read(): Promise<void> {
    const changes = this.#changes;
    const snapshot = await this.#reader.loadDevice(this.#userId, this.deviceId);
    if (this.#snapshot !== null && this.#snapshotChanges > changes) return;
    const { connections } = snapshot;
    // What was sent before this memory began is not known: to anybody who was there it may have been everything.
    const hadReaders = connections.some(({ toDevicePos }) => toDevicePos !== null);
    if (this.#snapshot === null && hadReaders) this.toDeviceSent(snapshot.toDevicePos);
    this.#snapshot = snapshot;
    this.#snapshotChanges = changes;
    this.#toDevice.adopt(positionsOf(connections, "toDevicePos"));
    this.#deviceLists.adopt(positionsOf(connections, "deviceListsPos"));
  }
}

function positionsOf(
  connections: DeviceSnapshot["connections"],
  stream: keyof DeviceReading,
): ReadonlyMap<ConnId, StreamPos> {
  return new Map(connections.flatMap(({ connId, [stream]: pos }) => (pos === null ? [] : [[connId, pos]])));
}
