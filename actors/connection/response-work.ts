import type { Draft } from "#src/protocol/engine/draft.ts";
import { hasRoomsOrOps } from "#src/protocol/engine/draft.ts";
import type { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import {
  buildExtensions,
  type DeviceData,
  extensionNeeds,
  type ExtensionsBody,
  hasExtensionData,
} from "#src/protocol/engine/extensions.ts";
import { withoutCancelled } from "#src/protocol/key-requests.ts";
import { RoomEntries, type RoomEntry } from "#src/protocol/engine/room-entries.ts";
import type { ConnId, RoomNid, StreamPos } from "#src/protocol/ids.ts";
import type { RoomReader } from "#src/ports/stores.ts";
import type { RoomDirectory } from "#actors/directory/room-directory.ts";
import type { DeviceReader, LiveDevice } from "#actors/user/live-device.ts";
import type { LiveUser } from "#actors/user/live-user.ts";
import { ConnectionData } from "./connection-data.ts";

export interface ResponseWorkDeps {
  directory: RoomDirectory;
  reader: RoomReader;
  /** Positions of to-device messages as clients see them: tied to this database, so a foreign one is known. */
  toDeviceToken: { make(pos: StreamPos): string; read(token: string): StreamPos | null };
}

/** A response, decided and read. */
export interface BuiltResponse {
  draft: Draft;
  entries: RoomEntries;
  rooms: RoomEntry[];
  extensions: ExtensionsBody;
  hasData: boolean;
  /** Rooms of which it tells less than up to its position. */
  behind: RoomNid[];
  /** The last to-device message in it; 0 = none. */
  toDeviceUpTo: StreamPos;
}

type Step = () => Promise<void> | null;

/**
 * Brings together what one draft needs. With everything in memory it is done within one turn; each wait for storage
 * ends the turn, and the next `advance` goes on behind it.
 */
export class ResponseWork {
  readonly #engine: ConnectionEngine;
  readonly #user: LiveUser;
  readonly #connId: ConnId;
  readonly #device: LiveDevice;
  readonly #deps: ResponseWorkDeps;
  readonly #draft: Draft;
  readonly #data: ConnectionData;
  readonly #entries: RoomEntries;
  /** To-device messages up to here are the client's; null when its `since` is none of ours. */
  readonly #receivedPos: StreamPos | null;
  #steps: Step[];
  #toDevice: readonly { pos: StreamPos; json: Uint8Array }[] = [];
  /** The last message read, whether it is sent or not. */
  #toDeviceUpTo: StreamPos = 0;

  /** `ahead`: a read of what the draft may need is under way. */
  constructor(
    engine: ConnectionEngine,
    draft: Draft,
    user: LiveUser,
    reader: DeviceReader,
    deps: ResponseWorkDeps,
    ahead: Promise<void> | null,
  ) {
    this.#engine = engine;
    this.#draft = draft;
    this.#user = user;
    this.#connId = reader.connId;
    this.#device = reader.device;
    this.#deps = deps;
    this.#data = new ConnectionData(deps.directory, user, reader.device.deviceId);
    this.#entries = new RoomEntries(user, engine, draft, this.#data);
    this.#receivedPos = receivedToDevice(engine, deps);
    this.#steps = [
      () => ahead,
      () => this.#readAhead(),
      () => this.#timelines(),
      () => this.#deps.directory.ensureState(this.#entries.stateNeeds()),
      () => this.#deps.directory.ensureReceipts(extensionNeeds(this.#user, this.#engine, this.#draft).receipts),
      () => this.#user.ensureAccountData(extensionNeeds(this.#user, this.#engine, this.#draft).accountData),
      () => (this.#needsDevice() ? this.#device.ensure() : null),
      () => this.#readToDevice(),
    ];
  }

  /** Runs until it is done (null) or has to wait for storage. */
  advance(): Promise<void> | null {
    for (let step = this.#steps[0]; step !== undefined; step = this.#steps[0]) {
      const wait = step();
      this.#steps.shift();
      if (wait !== null) return wait;
    }
    return null;
  }

  /** The finished response; call after `advance` returned null. */
  build(): BuiltResponse {
    const rooms = this.#entries.build();
    const extensions = buildExtensions(this.#user, this.#engine, this.#draft, this.#data, this.#deviceData(), {
      nids: rooms.map(({ nid }) => nid),
      timelineIds: (nid) => this.#entries.timelineIds(nid),
    });
    const toDeviceUpTo = this.#toDevice.at(-1)?.pos ?? 0;
    const hasData =
      rooms.length > 0 || hasRoomsOrOps({ ...this.#draft, rooms: new Map() }) || hasExtensionData(extensions);
    return {
      draft: this.#draft,
      entries: this.#entries,
      rooms,
      extensions,
      hasData,
      behind: this.#engine.behind,
      toDeviceUpTo,
    };
  }

  /** Everything that is known to be needed is read at once; the steps behind it find it in memory. */
  #readAhead(): Promise<void> | null {
    const { directory } = this.#deps;
    const needs = extensionNeeds(this.#user, this.#engine, this.#draft);
    const waits = [
      directory.ensureTimelines(this.#entries.timelineNeeds()),
      directory.ensureState(this.#entries.earlyStateNeeds()),
      directory.ensureReceipts(needs.receipts),
      this.#user.ensureAccountData(needs.accountData),
      this.#needsDevice() ? this.#device.ensure() : null,
    ].filter((wait) => wait !== null);
    return waits.length === 0 ? null : allOf(waits);
  }

  /** A delta that proves too long becomes an initial entry, which may need more: then this step comes again. */
  #timelines(): Promise<void> | null {
    const wait = this.#deps.directory.ensureTimelines(this.#entries.timelineNeeds());
    this.#steps.splice(1, 0, () => (this.#entries.cutTimelines() ? this.#again() : null));
    return wait;
  }

  #again(): null {
    this.#steps.splice(1, 0, () => this.#timelines());
    return null;
  }

  #needsDevice(): boolean {
    const { to_device: toDevice, e2ee } = this.#engine.params.extensions;
    return toDevice.enabled || e2ee.enabled;
  }

  #readToDevice(): Promise<void> | null {
    const { enabled, limit } = this.#engine.params.extensions.to_device;
    if (!enabled) return null;
    const after = this.#device.toDeviceAfter(this.#connId, this.#receivedPos);
    this.#toDeviceUpTo = after;
    if (this.#device.toDevicePos <= after) return null;
    return this.#loadToDevice(after, Math.min(limit, MAX_TO_DEVICE));
  }

  async #loadToDevice(after: StreamPos, limit: number): Promise<void> {
    const loaded = await this.#deps.reader.loadToDevice(this.#user.userId, this.#device.deviceId, after, limit);
    // Storage may be ahead of the commits applied here: what is newer comes with its own.
    const messages = loaded.filter(({ pos }) => pos <= this.#draft.upTo);
    this.#toDevice = withoutCancelled(messages, ({ pos }) => pos > this.#device.sentUpTo);
    this.#toDeviceUpTo = messages.at(-1)?.pos ?? after;
  }

  #deviceData(): DeviceData | null {
    const { snapshot } = this.#device;
    if (snapshot === null) return null;
    const { e2ee } = this.#engine.params.extensions;
    return {
      ...snapshot,
      deviceListsAfter: e2ee.enabled ? this.#device.deviceListsAfter(this.#connId) : 0,
      nextBatch: this.#deps.toDeviceToken.make(this.#toDeviceUpTo),
      toDevice: this.#toDevice.map(({ json }) => json),
    };
  }
}

async function allOf(waits: readonly Promise<void>[]): Promise<void> {
  await Promise.all(waits);
}

/**
 * The position of the client's to-device `since`. One of another database, or ahead of this one, as after an older
 * copy was restored, says nothing: null.
 */
export function receivedToDevice(
  engine: ConnectionEngine,
  { toDeviceToken, directory }: Pick<ResponseWorkDeps, "toDeviceToken" | "directory">,
): StreamPos | null {
  const pos = toDeviceToken.read(engine.params.extensions.to_device.since);
  return pos === null || pos > directory.head ? null : pos;
}

/** Bounds one response; the rest follows with the next request. */
const MAX_TO_DEVICE = 1000;
