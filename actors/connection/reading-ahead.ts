import type { Engine } from "#src/protocol/engine/engine-api.ts";
import { wantsAllMembers } from "#src/protocol/engine/room-entries.ts";
import type { StateNeed } from "#src/protocol/engine/room-entry.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import type { RoomConfig } from "#src/protocol/sticky.ts";
import type { RoomDirectory } from "#actors/directory/room-directory.ts";
import type { LiveUser } from "#actors/user/live-user.ts";

/** Rooms to read, as the list that is about to show them wants them. */
export type UpcomingRooms = readonly (readonly [nid: RoomNid, config: RoomConfig])[];

/**
 * Reads what a client that moves its windows on will see next, while it looks at what it has. Nothing depends on it: what
 * is not in memory when it is asked for is read then.
 */
export class ReadingAhead {
  #running: Promise<void> | null = null;

  /** Resolves when what is being read ahead is in memory; null when nothing is. */
  get running(): Promise<void> | null {
    return this.#running;
  }

  begin(rooms: UpcomingRooms, engine: Engine, user: LiveUser, directory: RoomDirectory): void {
    if (this.#running !== null) return;
    const joined = rooms.filter(([nid]) => user.standing(nid)?.membership === "join");
    const nids = joined.map(([nid]) => nid);
    const { receipts, account_data: accountData } = engine.params.extensions;
    const reads = [
      directory.ensureTimelines(
        joined.map(([nid, { timelineLimit }]) => ({ nid, limit: timelineLimit, since: null, upTo: directory.head })),
      ),
      directory.ensureState(joined.map(([nid, config]) => stateNeed(nid, config, engine, user))),
      receipts.enabled ? directory.ensureReceipts(nids) : null,
      accountData.enabled ? user.ensureAccountData(nids) : null,
    ].filter((read) => read !== null);
    if (reads.length === 0) return;
    // What fails is read again, and told, by the request that needs it.
    this.#running = this.#until(Promise.allSettled(reads));
  }

  async #until(settled: Promise<unknown>): Promise<void> {
    await settled;
    this.#running = null;
  }
}

function stateNeed(nid: RoomNid, config: RoomConfig, engine: Engine, user: LiveUser): StateNeed {
  const selection = engine.compile(config.requiredState, user.userId);
  return { nid, selection, members: [], allMembers: wantsAllMembers(selection, user.meta(nid)) };
}
