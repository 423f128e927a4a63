import { SyncError } from "#src/errors.ts";
import { unpackPollBatch, type Packed } from "#src/protocol/packed.ts";
import type { DeviceId, RoomId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { PolledRoom } from "#src/protocol/poll-batch.ts";
import { REPAIR } from "#actors/addresses.ts";
import type { RepairMessage } from "#actors/repair/messages.ts";
import { repairKind } from "#actors/repair/repair-actor.ts";
import type { Actor, ActorContext, Address, AnyMessage } from "#actors/runtime/actor.ts";
import { FakeHomeserverPort } from "#test/support/fake-homeserver-port.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";
import { RecordingMetrics, recordingLogger } from "#test/support/recording.ts";
import { roomMeta, userRoom } from "#test/support/stored-samples.ts";
import { VirtualTime, settlePromises } from "#test/support/virtual-time.ts";

/** The repairs alone: virtual time, a homeserver answered from tables, pollers and ingest that do as they are told. */
export class RepairHarness {
  readonly time = new VirtualTime();
  readonly stores = makeFakeStores(this.time);
  readonly homeserver = new FakeHomeserverPort();
  readonly metrics = new RecordingMetrics();
  readonly log = recordingLogger();
  /** What was asked of pollers and handed to ingest, in order. */
  readonly asked: string[] = [];
  readonly stored: { userId: string; deviceId: string; room: PolledRoom }[] = [];
  /** What the next poll-through fails with. */
  pollFailures: SyncError["code"][] = [];
  /** Comparisons stop at the poller until released. */
  held: (() => void)[] | null = null;
  #actor: Actor<RepairMessage>;

  /** `isDeaf`: notifications of the database do not arrive. */
  constructor({ isDeaf = false }: { isDeaf?: boolean } = {}) {
    if (isDeaf) this.stores.repair.watch = () => Promise.resolve(false);
    this.#actor = this.#start();
  }

  restart(): void {
    this.#actor = this.#start();
  }

  /** A user with a device, in these rooms. */
  async user(name: string, rooms: readonly number[]): Promise<UserId> {
    const userId = `@${name}:hs` as UserId;
    await this.stores.devices.saveToken({
      hash: name,
      accessToken: name,
      userId,
      deviceId: `${name}-device` as DeviceId,
      nowMs: this.time.now(),
    });
    for (const nid of rooms) this.join(userId, nid);
    return userId;
  }

  join(userId: UserId, nid: number): void {
    this.stores.db.rooms.set(nid as RoomNid, roomMeta(nid));
    this.stores.db.userRooms.set(JSON.stringify([userId, nid]), userRoom(userId, nid, { membership: "join" }));
  }

  roomId(nid: number): RoomId {
    return roomMeta(nid).roomId;
  }

  /** The homeserver's state of a room, with these members. */
  setState(roomId: RoomId, ...members: UserId[]): void {
    this.homeserver.states.set(roomId, [
      { event_id: `$create${roomId}`, type: "m.room.create", state_key: "", sender: "@a:hs", content: {} },
      ...members.map((userId) => ({
        event_id: `$${userId}${roomId}`,
        type: "m.room.member",
        state_key: userId,
        sender: userId,
        content: { membership: "join" },
      })),
    ]);
  }

  async tell(message: RepairMessage): Promise<void> {
    this.#actor.receive(message);
    await settle();
  }

  async suspect(userId: UserId, ...nids: number[]): Promise<void> {
    const rooms = nids.map((nid) => ({ roomId: this.roomId(nid), userId, reason: "moved-back" as const }));
    await this.tell({ type: "suspect-rooms", rooms });
  }

  async pass(ms: number): Promise<void> {
    for (let passed = 0; passed < ms; passed += 100) {
      await this.time.advance(Math.min(100, ms - passed));
      await settle();
    }
  }

  outcomes(): string[] {
    return this.log.lines.flatMap(({ fields, message }) =>
      message.includes("compared") ? [`${String(fields["room_id"])} ${String(fields["outcome"])}`] : [],
    );
  }

  #start(): Actor<RepairMessage> {
    return repairKind({
      homeserver: this.homeserver,
      store: this.stores.repair,
      devices: this.stores.devices,
      reader: this.stores.rooms,
      metrics: this.metrics,
    }).factory(this.#context());
  }

  #context(): ActorContext<RepairMessage> {
    const toSelf = (message: RepairMessage): void => this.#actor.receive(message);
    return {
      self: REPAIR,
      log: this.log,
      clock: this.time,
      rng: { next: () => 0.5 },
      tell: (to, message) => {
        if (to.kind === "repair") toSelf(message as RepairMessage);
      },
      ask: <T>(to: Address, message: AnyMessage) => this.#ask(to, message) as Promise<T>,
      after: (delayMs, message) => this.time.after(delayMs, () => toSelf(message)),
      pipe: (promise, onValue, onError) =>
        void promise.then(
          (value) => toSelf(onValue(value)),
          (error: unknown) =>
            toSelf(onError(error instanceof SyncError ? error : new SyncError("internal", String(error)))),
        ),
      stopSelf: () => undefined,
    };
  }

  async #ask(to: Address, message: AnyMessage): Promise<unknown> {
    this.asked.push(`${to.kind} ${message.type}`);
    if (message.type === "poll-through") {
      const code = this.pollFailures.shift();
      if (code !== undefined) throw new SyncError(code, "made by the test");
      const { held } = this;
      if (held !== null) await new Promise<void>((go) => held.push(go));
      return { ok: true };
    }
    const batch = unpackPollBatch(message["packed"] as Packed);
    for (const room of batch.rooms) this.stored.push({ userId: batch.userId, deviceId: batch.deviceId, room });
    return { pos: 1 };
  }
}

async function settle(): Promise<void> {
  for (let round = 0; round < 12; round += 1) await settlePromises();
}
