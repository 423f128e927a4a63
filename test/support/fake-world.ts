import type { RoomNid, UserId } from "#src/protocol/ids.ts";
import type { World } from "#src/protocol/engine/world.ts";
import type { RoomMeta, UserRoom } from "#src/protocol/room-meta.ts";
import type { RoomOrder } from "#src/protocol/room-order.ts";
import { roomMeta, userRoom } from "./stored-samples.ts";

/** One user's rooms, set by hand. */
export class FakeWorld implements World {
  readonly userId = "@me:hs" as UserId;
  readonly ignored = new Set<string>();
  readonly directPos = 0;
  readonly #rooms = new Map<number, { standing: UserRoom; meta: RoomMeta }>();

  /** Sets a room, joined at position 1 unless said otherwise. */
  set(nid: number, standing: Partial<UserRoom> = {}, meta: Partial<RoomMeta> = {}): RoomNid {
    const known = this.#rooms.get(nid);
    this.#rooms.set(nid, {
      standing: { ...(known?.standing ?? userRoom(this.userId, nid)), ...standing },
      meta: { ...(known?.meta ?? roomMeta(nid, { latestTs: nid * 1000 })), ...meta },
    });
    return nid as RoomNid;
  }

  *standings(): Iterable<UserRoom> {
    for (const { standing } of this.#rooms.values()) yield standing;
  }

  standing(nid: RoomNid): UserRoom | undefined {
    return this.#rooms.get(nid)?.standing;
  }

  meta(nid: RoomNid): RoomMeta | undefined {
    return this.#rooms.get(nid)?.meta;
  }

  nidOf(roomId: string): RoomNid | undefined {
    for (const [nid, { meta }] of this.#rooms) if (meta.roomId === roomId) return nid as RoomNid;
    return undefined;
  }

  isDirect(): boolean {
    return false;
  }

  tags(): ReadonlySet<string> {
    return new Set();
  }

  order(_signature: string, make: () => RoomOrder<RoomNid>): RoomOrder<RoomNid> {
    return make();
  }

  /** Rooms that wait for a transaction id, with the position from which on. */
  readonly held = new Map<RoomNid, number>();

  heldFrom(nid: RoomNid): number | null {
    return this.held.get(nid) ?? null;
  }

  stickyRooms(): RoomNid[] {
    return [...this.#rooms.values()].flatMap(({ standing, meta }) =>
      meta.stickyUntilMs !== undefined && standing.membership === "join" ? [standing.nid] : [],
    );
  }

  activity(nid: RoomNid): number {
    return this.#rooms.get(nid)?.meta.latestTs ?? 0;
  }

  stripped(): null {
    return null;
  }

  invite(): null {
    return null;
  }
}
