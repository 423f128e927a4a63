import type { DeviceId, RoomNid, StreamPos, UserId } from "#src/protocol/ids.ts";
import type { UserRoom } from "#src/protocol/room-meta.ts";
import type { UserUpdate } from "#src/protocol/update.ts";
import { type IngestContext, standingKey } from "./ingest-context.ts";
import type { IngestTransaction } from "./ingest-transaction.ts";
import { OWN_POS, isSameStanding } from "./standing.ts";

interface UserParts {
  toDevice: Map<DeviceId, StreamPos>;
  deviceChanges: Map<DeviceId, StreamPos>;
  update: UserUpdate;
}

/** What a group changes for single users. */
export class UserDrafts {
  readonly #context: IngestContext;
  readonly #standings = new Map<string, UserRoom>();
  readonly #users = new Map<UserId, UserParts>();

  constructor(context: IngestContext) {
    this.#context = context;
  }

  standing(userId: UserId, nid: RoomNid): UserRoom | null {
    return this.#standings.get(standingKey(userId, nid)) ?? this.#context.userRoom(userId, nid);
  }

  setStanding(standing: UserRoom): void {
    this.#standings.set(standingKey(standing.userId, standing.nid), standing);
  }

  /** Places in a room's timeline are others now: stays begin and end where they did. `end`: behind everything that moved. */
  moveStays(nid: RoomNid, moves: ReadonlyMap<StreamPos, StreamPos>, end: StreamPos): void {
    const moved = (pos: StreamPos): StreamPos => moves.get(pos) ?? pos;
    const from = Math.min(...moves.keys());
    const begin = (pos: StreamPos): StreamPos => {
      if (pos < from) return pos;
      // A stay that began between two events begins with the second of them.
      const next = Math.min(...[...moves.keys()].filter((old) => old >= pos));
      return moves.get(next) ?? end;
    };
    const drafts = [...this.#standings.values()].filter((draft) => draft.nid === nid);
    const all = new Map([...this.#context.stays(nid), ...drafts].map((standing) => [standing.userId, standing]));
    for (const userId of all.keys()) {
      const standing = this.standing(userId, nid);
      if (standing === null) continue;
      const { memberPos, joinPos, leftPos } = standing;
      this.setStanding({
        ...standing,
        memberPos: moved(memberPos),
        joinPos: begin(joinPos),
        leftPos: leftPos === null ? null : moved(leftPos),
      });
    }
  }

  /** The update of one user, to be added to. */
  update(userId: UserId): UserUpdate {
    return this.#parts(userId).update;
  }

  touchToDevice(userId: UserId, deviceId: DeviceId, pos: StreamPos): void {
    this.#parts(userId).toDevice.set(deviceId, pos);
  }

  touchDevice(userId: UserId, deviceId: DeviceId, pos: StreamPos): void {
    this.#parts(userId).deviceChanges.set(deviceId, pos);
  }

  /** Gives changed standings their positions and adds them to `tx`; answers in which rooms somebody is new. */
  finishStandings(tx: IngestTransaction, nextPos: () => StreamPos): Set<RoomNid> {
    const entered = new Set<RoomNid>();
    for (const draft of this.#standings.values()) {
      const before = this.#context.userRoom(draft.userId, draft.nid);
      if (before !== null && isSameStanding(before, draft)) continue;
      if (before === null) entered.add(draft.nid);
      const pos = nextPos();
      const memberPos = draft.memberPos === OWN_POS ? pos : draft.memberPos;
      const joinPos = draft.joinPos === OWN_POS ? pos : draft.joinPos;
      const standing: UserRoom = { ...draft, memberPos, joinPos, pos };
      tx.userRooms.push(standing);
      this.update(draft.userId).rooms.push(standing);
    }
    return entered;
  }

  finish(): UserUpdate[] {
    const updates: UserUpdate[] = [];
    for (const { update, toDevice, deviceChanges } of this.#users.values()) {
      for (const [deviceId, pos] of toDevice) update.toDevice.push({ deviceId, pos });
      for (const [deviceId, pos] of deviceChanges) update.deviceChanges.push({ deviceId, pos });
      updates.push(update);
    }
    return updates;
  }

  #parts(userId: UserId): UserParts {
    const known = this.#users.get(userId);
    if (known !== undefined) return known;
    const parts: UserParts = {
      toDevice: new Map(),
      deviceChanges: new Map(),
      update: {
        userId,
        rooms: [],
        accountData: [],
        toDevice: [],
        deviceChanges: [],
        txns: [],
        awaited: [],
        cleared: [],
        firstSyncDone: [],
      },
    };
    this.#users.set(userId, parts);
    return parts;
  }
}
