import { SyncError } from "#src/errors.ts";
import type { Dialect } from "#src/protocol/dialects/dialect.ts";
import type { Draft } from "#src/protocol/engine/draft.ts";
import { hasRoomsOrOps } from "#src/protocol/engine/draft.ts";
import type { Engine } from "#src/protocol/engine/engine-api.ts";
import type { DeviceData, ExtensionNeeds, ExtensionsBody } from "#src/protocol/engine/extensions-body.ts";
import { withoutCancelled } from "#src/protocol/key-requests.ts";
import type { RoomEntry } from "#src/protocol/engine/room-entry.ts";
import { isStickyTokenAhead } from "#src/protocol/engine/sticky-extension.ts";
import type { ChangesNeed } from "#src/protocol/engine/entries-api.ts";
import { type Page, RoomPages } from "#src/protocol/engine/room-pages.ts";
import type { ConnId, RoomNid, StreamPos } from "#src/protocol/ids.ts";
import type { Clock } from "#src/ports/basics.ts";
import type { RoomReader } from "#src/ports/stores.ts";
import type { RoomDirectory } from "#actors/directory/room-directory.ts";
import type { DeviceReader, LiveDevice } from "#actors/user/live-device.ts";
import type { LiveUser } from "#actors/user/live-user.ts";
import type { HistoryReader, HistoryVisit } from "./history-reader.ts";
import { ConnectionData } from "./connection-data.ts";

export interface ResponseWorkDeps {
  directory: RoomDirectory;
  reader: RoomReader;
  history: HistoryReader;
  clock: Pick<Clock, "now">;
  /** Positions of to-device messages as clients see them: tied to this database, so a foreign one is known. */
  toDeviceToken: { make(pos: StreamPos): string; read(token: string): StreamPos | null };
}

/** A response, decided and read. */
export interface BuiltResponse {
  draft: Draft;
  pages: RoomPages;
  /** Pages of rooms that are written already; `rooms` are those of the last one. */
  written: readonly Uint8Array[];
  rooms: readonly RoomEntry[];
  extensions: ExtensionsBody;
  hasData: boolean;
  /** Rooms of which it tells less than up to its position. */
  behind: RoomNid[];
  /** The last to-device message in it; 0 = none. */
  toDeviceUpTo: StreamPos;
}

/** What a step ends with: a wait for storage, the end of the turn so that others have theirs, or nothing. */
type Wait = Promise<void> | "next-turn" | null;
type Step = () => Wait;

/**
 * Brings together what one draft needs. With everything in memory it is done within one turn; each wait for storage
 * ends the turn, and the next `advance` goes on behind it.
 */
export class ResponseWork {
  readonly #dialect: Dialect;
  readonly #engine: Engine;
  readonly #user: LiveUser;
  readonly #connId: ConnId;
  readonly #device: LiveDevice;
  readonly #deps: ResponseWorkDeps;
  readonly #draft: Draft;
  readonly #data: ConnectionData;
  readonly #pages: RoomPages;
  readonly #history: HistoryVisit;
  readonly #written: Uint8Array[] = [];
  /** To-device messages up to here are the client's; null when its `since` is none of ours. */
  readonly #receivedPos: StreamPos | null;
  #steps: Step[];
  /** What extensions need beside the rooms of a draft, for as long as it stays as it is. */
  #needs: { draft: Draft; needs: ExtensionNeeds } | null = null;
  #toDevice: readonly { pos: StreamPos; json: Uint8Array }[] = [];
  /** The last message read, whether it is sent or not. */
  #toDeviceUpTo: StreamPos = 0;

  /**
   * `ahead`: a read of what the draft may need is under way; `isNews`: it is late enough, nothing but storage is waited for;
   * `isShared`: nobody knows who else asks under this connection id.
   */
  constructor(
    dialect: Dialect,
    engine: Engine,
    draft: Draft,
    user: LiveUser,
    reader: DeviceReader,
    deps: ResponseWorkDeps,
    { ahead, isNews, isShared }: { ahead: Promise<void> | null; isNews: boolean; isShared: boolean },
  ) {
    this.#dialect = dialect;
    this.#engine = engine;
    this.#draft = draft;
    this.#user = user;
    this.#connId = reader.connId;
    this.#device = reader.device;
    this.#deps = deps;
    this.#data = new ConnectionData(deps.directory, user, reader.device.deviceId, deps.clock.now());
    this.#history = deps.history.visit({ userId: user.userId, deviceId: reader.device.deviceId }, !isNews);
    this.#pages = new RoomPages(user, engine, draft, this.#data);
    this.#receivedPos = receivedToDevice(engine, deps);
    this.#steps = [
      () => ahead,
      ...this.#pages.pages.flatMap((page, index) => this.#pageSteps(page, this.#pages.pages[index + 1] === undefined)),
      () => this.#readForExtensions(),
      () => (this.#needsDevice() ? this.#device.ensure() : null),
      () => (isShared ? this.#checkDeviceLists() : null),
      () => this.#checkSticky(),
      () => this.#readToDevice(),
    ];
  }

  /** Runs until it is done (null), has to wait for storage, or has had its share of one turn. */
  advance(): Wait {
    for (let step = this.#steps[0]; step !== undefined; step = this.#steps[0]) {
      const wait = step();
      this.#steps.shift();
      if (wait !== null) return wait;
    }
    return null;
  }

  /** The finished response; call after `advance` returned null. */
  build(): BuiltResponse {
    const last = this.#pages.pages.at(-1);
    const rooms = last === undefined ? [] : this.#pages.build(last);
    const extensions = this.#engine.buildExtensions(this.#user, this.#draft, this.#data, this.#deviceData(), {
      nids: this.#pages.nids,
      timelineIds: (nid) => this.#pages.timelineIds(nid),
    });
    const toDeviceUpTo = this.#toDevice.at(-1)?.pos ?? 0;
    const hasData =
      this.#pages.nids.length > 0 ||
      hasRoomsOrOps({ ...this.#draft, rooms: new Map() }) ||
      this.#dialect.policy.hasExtensionData(extensions);
    return {
      draft: this.#draft,
      pages: this.#pages,
      written: this.#written,
      rooms,
      extensions,
      hasData,
      behind: this.#engine.behind,
      toDeviceUpTo,
    };
  }

  #pageSteps(page: Page, isLast: boolean): Step[] {
    const steps: Step[] = [
      () => this.#readAhead(page),
      () => this.#timelines(page),
      () => this.#history.ensure(page.entries.olderNeeds()),
      () => this.#addOlder(page),
      () => this.#readChanges(page),
      () => this.#deps.directory.ensureState(page.entries.stateNeeds()),
    ];
    // The last one is written together with all that is still to be read.
    if (!isLast) steps.push(() => this.#endPage(page));
    return steps;
  }

  #endPage(page: Page): Wait {
    this.#written.push(this.#dialect.encodeRooms(this.#pages.build(page)));
    return "next-turn";
  }

  /** Everything that is known to be needed is read at once; the steps behind it find it in memory. */
  #readAhead(page: Page): Wait {
    const { directory } = this.#deps;
    const needs = this.#extensionNeeds(page.draft);
    const waits = [
      directory.ensureTimelines(page.entries.timelineNeeds()),
      directory.ensureState(page.entries.earlyStateNeeds()),
      directory.ensureReceipts(needs.receipts),
      this.#user.ensureAccountData(needs.accountData),
      this.#needsDevice() ? this.#device.ensure() : null,
      directory.ensureSticky(this.#stickyNeeds(), this.#data.nowMs),
    ];
    return allOf(waits);
  }

  #readForExtensions(): Wait {
    const needs = this.#extensionNeeds(this.#draft);
    return allOf([
      this.#deps.directory.ensureReceipts(needs.receipts),
      this.#deps.directory.ensureTimelines(needs.timelines ?? []),
      this.#user.ensureAccountData(needs.accountData),
    ]);
  }

  /** They are many rooms to look at, and the same for the only page as for the whole draft. */
  #extensionNeeds(draft: Draft): ExtensionNeeds {
    if (this.#needs?.draft !== draft) this.#needs = { draft, needs: this.#engine.extensionNeeds(this.#user, draft) };
    return this.#needs.needs;
  }

  /** A delta that proves too long becomes an initial entry, which may need more: then this step comes again. */
  #timelines(page: Page): Wait {
    const wait = this.#deps.directory.ensureTimelines(page.entries.timelineNeeds());
    this.#steps.splice(1, 0, () => (page.entries.cutTimelines() ? this.#again(page) : null));
    return wait;
  }

  #addOlder(page: Page): null {
    if (this.#history.found.size === 0) return null;
    page.entries.addOlder(this.#history.found);
    this.#needs = null;
    return null;
  }

  /** State changes that are in no timeline at hand. */
  #readChanges(page: Page): Promise<void> | null {
    const needs = page.entries.changesNeeds();
    return needs.length === 0 ? null : this.#loadChanges(needs);
  }

  async #loadChanges(needs: readonly ChangesNeed[]): Promise<void> {
    this.#data.addChanges(needs, await this.#deps.reader.loadStateSince(needs));
  }

  #again(page: Page): null {
    this.#needs = null;
    this.#steps.splice(1, 0, () => this.#timelines(page));
    return null;
  }

  /** Others that share the connection id have read so much that not all is left of what this one has to be told. */
  #checkDeviceLists(): Promise<void> | null {
    const { e2ee } = this.#engine.params.extensions;
    const isBehind = e2ee.enabled && !this.#draft.isFirst && !this.#device.hasDeviceListsAfter(this.#draft.since);
    return isBehind ? Promise.reject(new SyncError("unknown_pos", "changes of device lists are gone")) : null;
  }

  /** Where the client of such a token is cannot be known: it begins anew, as if it had none. */
  #checkSticky(): Promise<void> | null {
    const { enabled, since } = this.#engine.params.extensions.sticky_events;
    const isAhead = enabled && !this.#draft.isFirst && isStickyTokenAhead(since, this.#draft.upTo);
    return isAhead ? Promise.reject(new SyncError("unknown_pos", "a token of sticky events is ahead")) : null;
  }

  /** Rooms whose sticky events are told, or say how long they are sticky where they are told otherwise. */
  #stickyNeeds(): RoomNid[] {
    const { enabled } = this.#engine.params.extensions.sticky_events;
    return this.#user.stickyRooms(this.#data.nowMs).filter((nid) => enabled || this.#draft.rooms.has(nid));
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

/** Null when there is nothing to wait for. */
function allOf(waits: readonly (Promise<void> | null)[]): Promise<void> | null {
  const under = waits.filter((wait) => wait !== null);
  return under.length === 0 ? null : Promise.all(under).then(() => undefined);
}

/**
 * The position of the client's to-device `since`. One of another database, or ahead of this one, as after an older
 * copy was restored, says nothing: null.
 */
export function receivedToDevice(
  engine: Engine,
  { toDeviceToken, directory }: Pick<ResponseWorkDeps, "toDeviceToken" | "directory">,
): StreamPos | null {
  const pos = toDeviceToken.read(engine.params.extensions.to_device.since);
  return pos === null || pos > directory.head ? null : pos;
}

/** Bounds one response; the rest follows with the next request. */
const MAX_TO_DEVICE = 1000;
