import {
  emptyData,
  emptyDevice,
  type KnownData,
  type KnownDevice,
  takeData,
  takeDevice,
  type WireExtensions,
} from "./client-extensions.ts";
import { stateKeyOf } from "./homeserver-room.ts";
import type { KnownRoom, WireEvent, WireRoom } from "./model-client.ts";

/** A room entry in either form of simplified sliding sync. */
type SimplifiedRoom = Omit<WireRoom, "name"> & {
  name?: string | null;
  unstable_expanded_timeline?: boolean;
  expanded_timeline?: boolean;
  stripped_state?: unknown[];
  membership?: string;
  lists?: string[];
};

/** A response in either form. */
export interface SimplifiedResponse {
  pos: string;
  lists?: Record<string, { count: number; ops?: { range: [number, number]; room_ids: string[] }[] }>;
  rooms: Record<string, SimplifiedRoom>;
  extensions: WireExtensions;
}

/** What such a client knows of one room. */
export interface SimplifiedKnownRoom extends KnownRoom {
  membership: string | null;
  /** Keys of the lists that held it when it was last told of; null = the form says nothing of it. */
  listKeys: readonly string[] | null;
}

/** A client of simplified sliding sync, as simple as can be. */
export class SimplifiedClient {
  readonly rooms = new Map<string, SimplifiedKnownRoom>();
  readonly lists = new Map<string, { count: number; shown: readonly string[] | null }>();
  readonly data: KnownData = emptyData();
  /** Survives connections, as a crypto store does. */
  readonly device: KnownDevice;
  readonly #look: (roomId: string, entry: WireRoom, known: KnownRoom | undefined) => void;
  readonly #problem: (what: string) => void;

  constructor(
    device: KnownDevice | null,
    look: (roomId: string, entry: WireRoom, known: KnownRoom | undefined) => void,
    problem: (what: string) => void,
  ) {
    this.device = device ?? emptyDevice();
    this.#look = look;
    this.#problem = problem;
  }

  /** Takes a response in; true when it said anything. `mayBeRepeated`: the server may not know any more all that it has told. */
  take({ lists = {}, rooms, extensions }: SimplifiedResponse, mayBeRepeated: boolean): boolean {
    this.lists.clear();
    for (const [key, { count, ops }] of Object.entries(lists)) {
      this.lists.set(key, { count, shown: ops === undefined ? null : ops.flatMap(({ room_ids: ids }) => ids) });
    }
    for (const [roomId, entry] of Object.entries(rooms)) this.#takeRoom(roomId, entry, mayBeRepeated);
    for (const [key, { shown }] of this.lists) {
      for (const roomId of shown ?? []) {
        if (!this.rooms.has(roomId)) this.#problem(`list ${key} shows ${roomId}, of which nothing was sent`);
      }
    }
    takeData(this.data, extensions);
    takeDevice(this.device, extensions);
    return Object.keys(rooms).length > 0 || saysAnything(extensions);
  }

  #takeRoom(roomId: string, entry: SimplifiedRoom, mayBeRepeated: boolean): void {
    const before = this.rooms.get(roomId);
    const { timeline = [], initial, limited, lists: listKeys = null, membership = null } = entry;
    if (before === undefined && initial !== true) this.#problem(`${roomId}: news before its initial entry`);
    const { required_state: told = [], stripped_state: stripped, expanded_timeline: isExpandedNow, ...said } = entry;
    const { name, unstable_expanded_timeline: isExpandedUnstable, ...rest } = said;
    // State that vanished is a stub of its type and key.
    const stubs = told.filter((event) => event.event_id === undefined);
    const state = told.filter((event) => event.event_id !== undefined);
    const isPending = membership === "invite" || membership === "knock";
    const wire: WireRoom = {
      ...rest,
      ...(typeof name === "string" ? { name } : {}),
      ...(stripped !== undefined && isPending ? { invite_state: stripped } : {}),
      required_state: state,
    };
    // A longer timeline takes the place of what was there, and is no news.
    const isExpanded = isExpandedNow === true || isExpandedUnstable === true;
    const news = isExpanded || initial === true || !mayBeRepeated ? timeline : withoutRepeated(wire, before);
    const looked = { ...wire, timeline: news, num_live: isExpanded ? 0 : news.length };
    this.#look(roomId, { ...looked, ...(isExpanded ? { initial: true } : {}) }, before);
    const isAnew = initial === true || isExpanded || limited === true;
    const head = { ...(initial === true ? {} : before?.head), ...wire };
    if (name === null) delete head.name;
    // State is what is told as state: in a timeline it may have lost against other state (spec 2.12).
    const known = new Map(initial === true ? [] : before?.state);
    for (const event of state) known.set(stateKeyOf(event.type, event.state_key ?? ""), event);
    for (const { type, state_key: key = "" } of stubs) known.delete(stateKeyOf(type, key));
    this.rooms.set(roomId, {
      head,
      timeline: isAnew ? timeline : [...(before?.timeline ?? []), ...news],
      state: known,
      membership,
      listKeys,
    });
  }
}

/** What is told again stands first, is not live, and is known to clients by its ids. */
function withoutRepeated({ timeline = [], num_live: live = 0 }: WireRoom, before: KnownRoom | undefined): WireEvent[] {
  const known = new Set(before?.timeline.map(({ event_id: id }) => id));
  const firstNew = timeline.findIndex(({ event_id: id }, index) => index >= timeline.length - live || !known.has(id));
  return firstNew === -1 ? [] : timeline.slice(firstNew);
}

/** What ends a wait: counts of keys and empty bodies do not. */
function saysAnything({ to_device: toDevice, e2ee, account_data: data, receipts, typing }: WireExtensions): boolean {
  const { changed = [], left = [] } = e2ee?.device_lists ?? {};
  const rooms = [data?.rooms, receipts?.rooms, typing?.rooms].flatMap((of) => Object.keys(of ?? {}));
  return (
    (toDevice?.events?.length ?? 0) + changed.length + left.length + (data?.global?.length ?? 0) + rooms.length > 0
  );
}
