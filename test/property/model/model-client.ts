import { NaiveList, type WireOp } from "#test/support/naive-client.ts";
import type { ListOp } from "#src/protocol/list-ops.ts";
import {
  emptyData,
  emptyDevice,
  type KnownData,
  takeData,
  takeDevice,
  type WireExtensions,
} from "./client-extensions.ts";
import { stateKeyOf } from "./homeserver-room.ts";
import type { Wishes } from "./wishes.ts";

/** An event as it is on the wire. */
export interface WireEvent {
  event_id: string;
  type: string;
  sender: string;
  state_key?: string;
  content: Record<string, unknown>;
  unsigned?: Record<string, unknown>;
}

/** A room entry as it is on the wire. */
export interface WireRoom {
  initial?: boolean;
  name?: string;
  avatar?: string | null;
  heroes?: { user_id: string; displayname?: string; avatar_url?: string }[];
  required_state?: WireEvent[];
  timeline?: WireEvent[];
  invite_state?: unknown[];
  is_dm?: boolean;
  joined_count?: number;
  invited_count?: number;
  notification_count?: number;
  highlight_count?: number;
  prev_batch?: string;
  limited?: boolean;
  num_live?: number;
  timestamp?: number;
}

/** A response as it is on the wire. */
export interface WireResponse {
  pos: string;
  txn_id?: string;
  lists: Record<string, { count: number; ops?: WireOp[] }>;
  rooms: Record<string, WireRoom>;
  extensions: WireExtensions;
}

/** What a client knows of one room. */
export interface KnownRoom {
  head: Omit<WireRoom, "timeline" | "required_state" | "initial">;
  timeline: WireEvent[];
  state: Map<string, WireEvent>;
}

/** All that a client has made of the responses of one connection. */
export interface ClientView extends KnownData {
  lists: Map<string, { count: number; list: NaiveList<string> }>;
  rooms: Map<string, KnownRoom>;
}

const emptyView = (): ClientView => ({ lists: new Map(), rooms: new Map(), ...emptyData() });

/** A client as simple as can be: it takes every response for what it says. */
export class ModelClient {
  pos: string | null = null;
  wishes: Wishes;
  view = emptyView();
  /** Survives connections, as a crypto store does. */
  readonly device = emptyDevice();
  /** Told of everything before it is applied, with the room as it was known. */
  readonly #look: (roomId: string, entry: WireRoom, known: KnownRoom | undefined) => void;
  readonly #problem: (what: string) => void;
  readonly #sent = new Map<string, number>();
  #requests = 0;

  constructor(
    wishes: Wishes,
    look: (roomId: string, entry: WireRoom, known: KnownRoom | undefined) => void,
    problem: (what: string) => void,
  ) {
    this.wishes = wishes;
    this.#look = look;
    this.#problem = problem;
  }

  /** Without a position and without anything known of rooms. */
  beginAnew(): void {
    this.pos = null;
    this.view = emptyView();
    this.wishes.beginAnew();
    this.#sent.clear();
  }

  body(): Record<string, unknown> {
    const { body, upTo } = this.wishes.body();
    this.#requests += 1;
    const txnId = `t${this.#requests}`;
    this.#sent.set(txnId, upTo);
    const extensions = body["extensions"] as Record<string, object>;
    const since = this.device.toDeviceSince;
    if (this.wishes.extensions.get("to_device")?.enabled === true && since !== "") {
      extensions["to_device"] = { ...extensions["to_device"], since };
    }
    return { ...body, txn_id: txnId };
  }

  /** Takes a response in; true when it said anything. */
  apply(response: WireResponse): boolean {
    this.pos = response.pos;
    const upTo = this.#sent.get(response.txn_id ?? "");
    if (upTo !== undefined) this.wishes.confirm(upTo);
    for (const [roomId, entry] of Object.entries(response.rooms)) this.#applyRoom(roomId, entry);
    const hasOps = this.#applyLists(response);
    const hasData = this.#applyExtensions(response.extensions);
    return hasOps || hasData || Object.keys(response.rooms).length > 0;
  }

  #applyLists(response: WireResponse): boolean {
    const { lists } = this.view;
    let hasOps = false;
    for (const key of lists.keys()) if (!Object.hasOwn(response.lists, key)) lists.delete(key);
    for (const [key, { count, ops = [] }] of Object.entries(response.lists)) {
      const known = lists.get(key) ?? { count: 0, list: new NaiveList<string>() };
      lists.set(key, known);
      hasOps ||= ops.length > 0;
      known.count = count;
      known.list.apply(ops.map((op) => this.#readOp(key, op)));
      for (const roomId of known.list.rooms.values()) {
        if (!this.view.rooms.has(roomId)) this.#problem(`list ${key} shows ${roomId}, of which nothing was sent`);
      }
    }
    return hasOps;
  }

  #readOp(key: string, op: WireOp): ListOp<string> {
    const { range, room_ids: rooms = [], index = -1, room_id: room = "" } = op;
    if (op.op === "SYNC" || op.op === "INVALIDATE") {
      if (range === undefined) this.#problem(`list ${key}: ${op.op} without a range`);
      const given = range ?? [0, -1];
      if (op.op === "INVALIDATE") return { op: "INVALIDATE", range: given };
      if (rooms.length !== given[1] - given[0] + 1)
        this.#problem(`list ${key}: SYNC ${given.join()} of ${rooms.length}`);
      return { op: "SYNC", range: given, rooms };
    }
    if (index < 0) this.#problem(`list ${key}: ${op.op} without an index`);
    if (op.op === "DELETE") return { op: "DELETE", index };
    if (!this.view.rooms.has(room)) this.#problem(`list ${key}: INSERT of ${room}, of which nothing was sent`);
    return { op: "INSERT", index, room };
  }

  #applyRoom(roomId: string, entry: WireRoom): void {
    const before = this.view.rooms.get(roomId);
    this.#look(roomId, entry, before);
    const { initial, timeline = [], required_state: state = [], ...head } = entry;
    let known = before;
    if (known === undefined || initial === true) {
      // State is added to what is there, as clients do: one list may ask for less than another did.
      const kept = this.#isStateAlone(entry) ? known?.timeline : undefined;
      known = { head: {}, timeline: kept ?? [], state: known?.state ?? new Map() };
      // Counts come for any room; only a whole entry makes it known.
      if (initial === true) this.view.rooms.set(roomId, known);
    }
    Object.assign(known.head, head);
    const liveFrom = timeline.length - (entry.num_live ?? 0);
    for (const [index, event] of timeline.entries()) {
      known.timeline.push(event);
      if (event.state_key === undefined) continue;
      const key = stateKeyOf(event.type, event.state_key);
      // What an entry begins with is history: other state may have won since.
      if (initial !== true || index >= liveFrom || !known.state.has(key)) known.state.set(key, event);
    }
    for (const event of state) known.state.set(stateKeyOf(event.type, event.state_key ?? ""), event);
  }

  /** An entry that other state alone was asked for says nothing of the timeline, not even where it begins. */
  #isStateAlone({ timeline, limited }: WireRoom): boolean {
    const asksForNone = [...this.wishes.ever].some((shape) => shape.timeline_limit === 0);
    return timeline === undefined && limited === undefined && !asksForNone;
  }

  #applyExtensions(extensions: WireResponse["extensions"]): boolean {
    takeData(this.view, extensions);
    takeDevice(this.device, extensions);
    const { account_data: data, receipts, typing, to_device: toDevice, e2ee } = extensions;
    const hasMessages = (toDevice?.events?.length ?? 0) > 0;
    return hasMessages || [data, receipts, typing, e2ee].some((section) => section !== undefined);
  }
}
