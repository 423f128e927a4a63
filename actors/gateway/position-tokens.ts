import type { Timers } from "#src/ports/basics.ts";
import type { PositionTokens, TokenSide } from "#src/ports/front.ts";
import type { Homeserver } from "#src/ports/homeserver.ts";
import type { DeviceStore, RoomReader } from "#src/ports/stores.ts";
import type { StoredEvent } from "#src/protocol/events.ts";
import type { RoomId, StreamPos } from "#src/protocol/ids.ts";
import { claimedStreamPos } from "#src/protocol/pos.ts";
import type { TokenIdentifier } from "./token-identifier.ts";

/** So many of a room's newest events are looked through for the one behind a position; further back a client pages over more. */
const NEWEST = 200;
/** Events before a position, of which one begins what some poll brought. */
const BEFORE = 50;
/** The client waits for its page, not for this. */
const DEADLINE_MS = 5000;
/** Events behind the device's own place are looked at in pages of so many, and so many pages. */
const [AHEAD, AHEAD_PAGES] = [20, 3];
const AHEAD_DEADLINE_MS = 1500;

/** What finding tokens needs of the outside. */
export interface PositionTokensDeps {
  identifier: Pick<TokenIdentifier, "recognise">;
  rooms: Pick<RoomReader, "loadRooms" | "loadTimelines">;
  devices: Pick<DeviceStore, "loadDevice">;
  homeserver: Pick<Homeserver, "roomEventsAfter">;
  timers: Timers;
}

/** Finds tokens of the homeserver for positions of the stream: what polls bring of a room begins with one. */
export class StoredPositionTokens implements PositionTokens {
  readonly #deps: PositionTokensDeps;

  constructor(deps: PositionTokensDeps) {
    this.#deps = deps;
  }

  async tokenAt(accessToken: string, roomId: RoomId, pos: string, side: TokenSide): Promise<string | null> {
    // Whoever made it: nothing is shown for it but what the homeserver shows its own user.
    const streamPos = claimedStreamPos(pos);
    if (streamPos === null) return null;
    const late = Promise.withResolvers<null>();
    const cancel = this.#deps.timers.after(DEADLINE_MS, () => late.resolve(null));
    try {
      return await Promise.race([this.#find(accessToken, roomId, streamPos, side), late.promise]);
    } finally {
      cancel();
    }
  }

  async #find(accessToken: string, roomId: RoomId, pos: StreamPos, side: TokenSide): Promise<string | null> {
    const { identifier, rooms, devices } = this.#deps;
    const identity = await identifier.recognise(accessToken);
    if (identity === null) return null;
    // Read first: what the device brought up to there is then in the room.
    const since = (await devices.loadDevice(identity.userId, identity.deviceId))?.since ?? null;
    const [room] = await rooms.loadRooms([roomId]);
    const newest = room === undefined ? [] : await this.#timeline(room.nid, Number.MAX_SAFE_INTEGER, NEWEST);
    const next = newest.findIndex((event) => event.pos > pos);
    const end = room?.endToken?.[0] === newest.at(-1)?.id ? (room?.endToken?.[1] ?? null) : null;
    const behindAll = (): string | Promise<string | null> =>
      end ?? this.#behindAll(newest, side, { accessToken, roomId, since });
    if (next === -1) return behindAll();
    const isExact = next > 0 || newest[0]?.gapBefore === true;
    const exact = newest[next]?.prevBatch ?? null;
    if (isExact && exact !== null) return exact;
    if (side === "later") {
      const later = newest.slice(next).find(({ prevBatch }) => prevBatch !== null)?.prevBatch;
      return later ?? behindAll();
    }
    const before = next > 0 ? newest.slice(0, next) : await this.#timeline(room?.nid, pos, BEFORE);
    return before.findLast(({ prevBatch }) => prevBatch !== null)?.prevBatch ?? null;
  }

  /**
   * The token behind everything that is known of the room. The device's own place may be before what others' polls brought, and the
   * homeserver may have more that nobody has brought yet: it says itself what it has behind that place.
   */
  async #behindAll(
    known: readonly StoredEvent[],
    side: TokenSide,
    { accessToken, roomId, since }: { accessToken: string; roomId: RoomId; since: string | null },
  ): Promise<string | null> {
    const unproven = side === "later" ? "" : since;
    if (since === null) return unproven;
    const { homeserver } = this.#deps;
    const ids = new Set(known.map(({ id }) => id));
    let from = since;
    let limit = AHEAD;
    for (let page = 0; page < AHEAD_PAGES; page += 1) {
      const ahead = await homeserver.roomEventsAfter(accessToken, roomId, {
        from,
        limit,
        deadlineMs: AHEAD_DEADLINE_MS,
      });
      if (!ahead.ok) return unproven;
      const { ids: behind, end } = ahead.value;
      const unknown = behind.findIndex((id) => !ids.has(id));
      if (unknown === 0 || behind.length === 0) return from;
      if (unknown > 0) {
        // Once more, up to the last one that is known.
        limit = unknown;
        continue;
      }
      if (end === null || (limit < AHEAD && behind.length === limit)) return end ?? unproven;
      from = end;
      if (limit < AHEAD) limit -= behind.length;
    }
    return unproven;
  }

  async #timeline(nid: StoredEvent["nid"] | undefined, upTo: StreamPos, limit: number): Promise<StoredEvent[]> {
    if (nid === undefined) return [];
    const [chunk] = await this.#deps.rooms.loadTimelines([{ nid, upTo, limit }]);
    return chunk?.events ?? [];
  }
}
