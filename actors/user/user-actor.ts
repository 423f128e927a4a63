import { SyncError } from "#src/errors.ts";
import { CONNECTIONS_PER_DEVICE, type DeviceId, type StreamPos, type UserId } from "#src/protocol/ids.ts";
import type { Cancel } from "#src/ports/basics.ts";
import type { RoomReader, UserSnapshot } from "#src/ports/stores.ts";
import { isLooseAddress, pollerAddress } from "#actors/addresses.ts";
import type { ConnectionFeed } from "#actors/connection/messages.ts";
import type { Barrier } from "#actors/directory/barrier.ts";
import type { DirectoryUser, RoomDirectory, UserLoad } from "#actors/directory/room-directory.ts";
import type { PollingEnsured } from "#actors/poller/messages.ts";
import type { Actor, ActorContext, Address } from "#actors/runtime/actor.ts";
import { LiveUser, type UserChanges } from "./live-user.ts";
import type { UserFeed, UserMessage } from "./messages.ts";
import { UserLink, UserProgress } from "./user-link.ts";
import { SmallMap } from "#src/small-collections.ts";

/** A user without connections is dropped after this; it is read again in milliseconds. */
const USER_IDLE_MS = 5 * 60_000;
/** A poller host that died is back by then. */
const ENSURE_AGAIN_MS = 500;
/** The position of a read is reached by the directory within this, or something is wrong with the fan-out. */
const LOAD_DEADLINE_MS = 15_000;

export interface UserDeps {
  directory: RoomDirectory;
  reader: RoomReader;
  /** How long a first sync may take. */
  firstSyncDeadlineMs: number;
}

interface Attached {
  address: Address;
  deviceId: DeviceId;
  /** There for one request alone. */
  isLoose: boolean;
  link: UserLink | null;
}

/** Keeps one active user's state and feeds its connections; rebuilt from storage whenever it is needed. */
export class UserActor implements Actor<UserMessage>, DirectoryUser {
  readonly userId: UserId;
  readonly #deps: UserDeps;
  readonly #context: ActorContext<UserMessage>;
  readonly #connections = new SmallMap<string, Attached>();
  /** Devices whose poller is known to run; false while that is being found out. */
  readonly #polling = new SmallMap<DeviceId, boolean>();
  #user: LiveUser | null = null;
  #progress: UserProgress | null = null;
  /** The read of the user from storage that is under way. */
  #loading: { id: number; log: UserLoad; cancelTimeout: Cancel } | null = null;
  #loadId = 0;
  #isHeldWatched = false;

  constructor(context: ActorContext<UserMessage>, deps: UserDeps) {
    this.userId = context.self.key as UserId;
    this.#context = context;
    this.#deps = deps;
    this.#context.after(USER_IDLE_MS, { type: "idle-check" });
  }

  receive(message: UserMessage): void {
    switch (message.type) {
      case "attach":
        this.#connections.set(message.connection.key, {
          address: message.connection,
          deviceId: message.deviceId,
          isLoose: isLooseAddress(message.connection),
          link: null,
        });
        this.#expireConnections(message.deviceId);
        this.#ensurePolling(message.deviceId);
        return;
      case "detach":
        this.#connections.delete(message.connection.key);
        return;
      case "polling-ensured":
        this.#polling.set(message.deviceId, true);
        this.#serve();
        return;
      case "polling-failed":
        this.#pollingFailed(message.deviceId, message.error);
        return;
      case "ensure-polling-again":
        this.#polling.delete(message.deviceId);
        this.#ensurePolling(message.deviceId);
        return;
      case "snapshot-loaded": {
        const { snapshot, loadId } = message;
        this.#deps.directory.whenAt(snapshot.head, () =>
          this.#context.tell(this.#context.self, { type: "snapshot-applied", loadId, snapshot } satisfies UserMessage),
        );
        return;
      }
      case "snapshot-applied":
        // An earlier reading may lack commits that were not remembered for this one.
        if (message.loadId === this.#loading?.id) this.#start(message.snapshot);
        return;
      case "load-timeout":
        this.#loadFailed(message.loadId, new SyncError("storage_unavailable", "user not read in time"));
        return;
      case "load-failed":
        this.#loadFailed(message.loadId, message.error);
        return;
      case "feed":
        this.#feed(message);
        message.barrier.leave();
        return;
      case "held-due":
        this.#isHeldWatched = false;
        this.#releaseHeld();
        return;
      case "idle-check":
        if (this.#connections.size === 0 && this.#loading === null) this.#context.stopSelf();
        else this.#context.after(USER_IDLE_MS, { type: "idle-check" });
    }
  }

  stop(): void {
    this.#endLoad();
    this.#deps.directory.removeUser(this);
    for (const { address } of this.#connections.values()) {
      this.#tell(address, { type: "user-failed", error: new SyncError("actor_stopped", "user actor stopped") });
    }
  }

  /** Called by the directory within its own turn; the work is done in ours. */
  feed(toPos: UserFeed["toPos"], rooms: UserFeed["rooms"], user: UserFeed["user"], barrier: Barrier): void {
    barrier.enter();
    this.#progress?.sent();
    this.#context.tell(this.#context.self, { type: "feed", toPos, rooms, user, barrier } satisfies UserFeed);
  }

  #ensurePolling(deviceId: DeviceId): void {
    const state = this.#polling.get(deviceId);
    if (state === true) {
      // It may have parked or died since: the answer comes at once when it runs.
      this.#serve();
      this.#context.tell(pollerAddress(this.userId, deviceId), { type: "touch" });
      return;
    }
    if (state === false) return;
    this.#polling.set(deviceId, false);
    this.#context.pipe(
      this.#context.ask<PollingEnsured>(
        pollerAddress(this.userId, deviceId),
        { type: "ensure-polling" },
        { deadlineMs: this.#deps.firstSyncDeadlineMs },
      ),
      () => ({ type: "polling-ensured", deviceId }),
      (error) => ({ type: "polling-failed", deviceId, error }),
    );
  }

  #pollingFailed(deviceId: DeviceId, error: SyncError): void {
    const isWanted = [...this.#connections.values()].some((connection) => connection.deviceId === deviceId);
    if (error.code === "actor_stopped" && isWanted) {
      this.#context.after(ENSURE_AGAIN_MS, { type: "ensure-polling-again", deviceId });
      return;
    }
    this.#polling.delete(deviceId);
    this.#reject(error, deviceId);
  }

  /** Reads the user, again when that failed before, or takes in those who wait. */
  #serve(): void {
    if (this.#user === null) this.#load();
    else this.#welcome();
  }

  #load(): void {
    if (this.#loading !== null) return;
    const loadId = ++this.#loadId;
    this.#loading = {
      id: loadId,
      log: this.#deps.directory.beginLoad(),
      cancelTimeout: this.#context.after(LOAD_DEADLINE_MS, { type: "load-timeout", loadId }),
    };
    this.#context.pipe(
      this.#deps.directory.primed.then(() =>
        this.#deps.reader.loadUser(this.userId, (nid) => this.#deps.directory.room(nid) !== undefined),
      ),
      (snapshot) => ({ type: "snapshot-loaded", loadId, snapshot }),
      (error) => ({ type: "load-failed", loadId, error }),
    );
  }

  #endLoad(): void {
    if (this.#loading === null) return;
    this.#loading.cancelTimeout();
    this.#deps.directory.endLoad(this.#loading.log);
    this.#loading = null;
  }

  #loadFailed(loadId: number, error: SyncError): void {
    if (loadId !== this.#loading?.id) return;
    this.#endLoad();
    this.#reject(error, null);
  }

  #start(snapshot: UserSnapshot): void {
    const user = new LiveUser(this.userId, snapshot, this.#deps.directory, this.#deps.reader);
    const missed = this.#deps.directory.addUser(
      this,
      snapshot.head,
      snapshot.rooms.map(({ standing, meta }) => ({
        nid: standing.nid,
        isJoined: standing.membership === "join",
        meta,
      })),
    );
    this.#user = user;
    const nowMs = this.#context.clock.mono();
    for (const batch of missed) user.apply([], batch.users.find(({ userId }) => userId === this.userId) ?? null, nowMs);
    user.holdOnly(this.#deps.directory.awaited.of(this.userId, nowMs));
    this.#watchHeld(user);
    this.#progress = new UserProgress(this.#deps.directory, Math.max(snapshot.head, missed.at(-1)?.toPos ?? 0));
    this.#endLoad();
    this.#welcome();
  }

  /** Tells waiting connections whose device is polled that they can begin. */
  #welcome(): void {
    const user = this.#user;
    const progress = this.#progress;
    if (user === null || progress === null) return;
    for (const connection of this.#connections.values()) {
      if (connection.link !== null || this.#polling.get(connection.deviceId) !== true) continue;
      connection.link = new UserLink(user, progress, this.#context.clock.mono());
      this.#tell(connection.address, { type: "user-ready", link: connection.link });
    }
  }

  #feed(feed: UserFeed): void {
    const user = this.#user;
    if (user === null) return;
    const changes = user.apply(feed.rooms, feed.user, this.#context.clock.mono());
    this.#watchHeld(user);
    if (user.lacksRooms(feed.user)) {
      this.#context.log.info({ user_id: this.userId }, "user has a room this host does not know, read again");
      this.#context.stopSelf();
      return;
    }
    this.#announce(changes, feed.toPos, feed.barrier);
    this.#progress?.applied(feed.toPos);
  }

  #announce(changes: UserChanges, pos: StreamPos, barrier: Barrier | null): void {
    for (const { address, deviceId, link } of this.#connections.values()) {
      if (link === null) continue;
      const bits = changes.bits | (changes.devices.get(deviceId) ?? 0);
      if (changes.rooms.length === 0 && bits === 0) continue;
      link.sent();
      barrier?.enter();
      this.#tell(address, { type: "updates-applied", pos, rooms: changes.rooms, bits, barrier });
    }
  }

  /** A timer runs only while an own event waits. */
  #watchHeld(user: LiveUser): void {
    const { heldUntilMs } = user;
    if (heldUntilMs === null || this.#isHeldWatched) return;
    this.#isHeldWatched = true;
    this.#context.after(Math.max(0, heldUntilMs - this.#context.clock.mono()), { type: "held-due" });
  }

  #releaseHeld(): void {
    const user = this.#user;
    if (user === null) return;
    const rooms = user.releaseHeld(this.#context.clock.mono());
    if (rooms.length > 0) this.#announce({ rooms, bits: 0, devices: new Map() }, 0, null);
    this.#watchHeld(user);
  }

  /** Fails the connections of a device (null = of every device) that still wait. */
  #reject(error: SyncError, deviceId: DeviceId | null): void {
    for (const [key, connection] of this.#connections) {
      if (connection.link !== null || (deviceId !== null && connection.deviceId !== deviceId)) continue;
      this.#connections.delete(key);
      this.#tell(connection.address, { type: "user-failed", error });
    }
  }

  /** A device that keeps making connections loses those it has not used for longest. */
  #expireConnections(deviceId: DeviceId): void {
    // Single requests end by themselves, and the gateway bounds them.
    const ofDevice = [...this.#connections.values()].filter(
      (connection) => connection.deviceId === deviceId && !connection.isLoose,
    );
    if (ofDevice.length <= CONNECTIONS_PER_DEVICE) return;
    // Those that still wait for their user are the newest.
    const usedMs = ({ link }: Attached): number => link?.usedMs ?? Infinity;
    const oldest = ofDevice.reduce((a, b) => (usedMs(b) < usedMs(a) ? b : a));
    this.#connections.delete(oldest.address.key);
    this.#tell(oldest.address, { type: "expire" });
  }

  #tell(address: Address, message: ConnectionFeed): void {
    this.#context.tell(address, message);
  }
}
