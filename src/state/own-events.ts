import type { StoredEvent } from "#src/protocol/events.ts";
import type { DeviceId, EventId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { AwaitedEvent, IngestContext } from "./ingest-context.ts";
import type { UserDrafts } from "./user-draft.ts";

interface NewEvent {
  userId: UserId;
  nid: RoomNid;
  pos: StreamPos;
}

/**
 * Transaction ids of users' own events. Only the poller of the sending device is told of one, and another poller may be
 * first to bring the event: then it is awaited until a device of the sender brings the id, or all of them have brought none.
 */
export class OwnEvents {
  readonly #context: IngestContext;
  readonly #new = new Map<EventId, NewEvent>();
  /** Devices that brought an event of their own user without a transaction id. */
  readonly #seen = new Map<EventId, Set<DeviceId>>();
  readonly #identified = new Set<EventId>();
  /** What became of awaited events; null = nobody waits any more. */
  readonly learned = new Map<EventId, AwaitedEvent | null>();

  constructor(context: IngestContext) {
    this.#context = context;
  }

  /** A new timeline event is stored. What the first sync of its sender brings was sent before anybody could wait. */
  added(batch: PollBatch, { id, stateKey, sender, nid, pos }: StoredEvent): void {
    if (stateKey !== null || (batch.isFirstSync && batch.userId === sender)) return;
    if (this.#context.pollingDevices(sender).size === 0) return;
    this.#new.set(id, { userId: sender as UserId, nid, pos });
  }

  /** A device brought its transaction id of an event. */
  identified(eventId: EventId): void {
    this.#identified.add(eventId);
  }

  /** A device of the sender brought an event, new or known, without one. */
  seenWithout(deviceId: DeviceId, eventId: EventId): void {
    const devices = this.#seen.get(eventId);
    if (devices === undefined) this.#seen.set(eventId, new Set([deviceId]));
    else devices.add(deviceId);
  }

  finish(users: UserDrafts): void {
    for (const [eventId, { userId, nid, pos }] of this.#new) {
      if (this.#identified.has(eventId)) continue;
      const devices = this.#withoutSeen(this.#context.pollingDevices(userId), eventId);
      if (devices.size === 0) continue;
      this.learned.set(eventId, { userId, devices });
      users.update(userId).awaited.push({ nid, eventId, pos });
    }
    for (const eventId of this.#identified) {
      if (this.#context.awaited(eventId) !== null) this.learned.set(eventId, null);
    }
    for (const eventId of this.#seen.keys()) {
      const awaited = this.#identified.has(eventId) ? null : this.#context.awaited(eventId);
      if (awaited === null) continue;
      const devices = this.#withoutSeen(awaited.devices, eventId);
      if (devices.size === 0) users.update(awaited.userId).cleared.push(eventId);
      this.learned.set(eventId, devices.size === 0 ? null : { ...awaited, devices });
    }
  }

  #withoutSeen(devices: ReadonlySet<DeviceId>, eventId: EventId): ReadonlySet<DeviceId> {
    return devices.difference(this.#seen.get(eventId) ?? new Set());
  }
}
