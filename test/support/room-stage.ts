import { FrontRig } from "./front-rig.ts";
import type { Session } from "./homeserver.ts";
import type { WireEvent, WireRoom } from "./naive-client.ts";
import type { RigResponse } from "./sync-rig.ts";

export const ROOM = "!r:test";
export const ALICE = "@alice:test";
export const BOB = "@bob:test";
/** What clients mostly ask for. */
export const LIST = { ranges: [[0, 9]], timeline_limit: 10 };

/** A room as a homeserver's sync tells of it. */
export interface PlayedRoom {
  state?: WireEvent[];
  timeline?: WireEvent[];
  limited?: boolean;
  prevBatch?: string;
  roomId?: string;
  extra?: Record<string, unknown>;
}

/** Two users behind a real port, whose homeserver says what the test makes it say: for looking at single rooms. */
export class RoomStage {
  readonly front: FrontRig;
  #pos = new Map<Session, string>();

  constructor(front: FrontRig) {
    this.front = front;
  }

  static async start(): Promise<RoomStage> {
    return new RoomStage(await FrontRig.start());
  }

  stop(): Promise<void> {
    return this.front.stop();
  }

  event(type: string, content: Record<string, unknown>, stateKey?: string, more: Partial<WireEvent> = {}): WireEvent {
    return { ...this.front.event(type, BOB, content, stateKey), ...more };
  }

  say(body: string, sender = BOB): WireEvent {
    return this.front.say(sender, body);
  }

  member(userId: string, membership = "join", more: Record<string, unknown> = {}, sender = userId): WireEvent {
    return this.front.event("m.room.member", sender, { membership, ...more }, userId);
  }

  create(content: Record<string, unknown> = {}): WireEvent {
    return this.event("m.room.create", { room_version: "10", ...content }, "");
  }

  /** `rooms` with one room in `join` or `leave`. */
  section(kind: "join" | "leave", room: PlayedRoom): Record<string, unknown> {
    const { roomId = ROOM, state = [], timeline = [], limited = false, prevBatch, extra = {} } = room;
    const body = {
      state: { events: state },
      timeline: { events: timeline, limited, ...(prevBatch === undefined ? {} : { prev_batch: prevBatch }) },
      ...extra,
    };
    return { rooms: { [kind]: { [roomId]: body } } };
  }

  joins(room: PlayedRoom): Record<string, unknown> {
    return this.section("join", room);
  }

  leaves(room: PlayedRoom): Record<string, unknown> {
    return this.section("leave", room);
  }

  invites(events: unknown[], roomId = ROOM): Record<string, unknown> {
    return { rooms: { invite: { [roomId]: { invite_state: { events } } } } };
  }

  /** Stripped state of an invite of Alice's by Bob. */
  stripped(own: Record<string, unknown> = {}, more: unknown[] = []): unknown[] {
    return [
      { type: "m.room.member", state_key: BOB, sender: BOB, content: { membership: "join", displayname: "Bob" } },
      ...more,
      { type: "m.room.member", state_key: ALICE, sender: BOB, content: { membership: "invite", ...own } },
    ];
  }

  /** The user's first answer. */
  async first(session: Session, body: Record<string, unknown> = { lists: { all: LIST } }): Promise<RigResponse> {
    return this.#take(session, await this.front.sync(session, body));
  }

  /** The next one on the same connection. */
  async next(session: Session, body: Record<string, unknown> = {}): Promise<RigResponse> {
    const pos = this.#pos.get(session);
    return this.#take(session, await this.front.sync(session, body, pos === undefined ? {} : { pos }));
  }

  /** The room in an answer; fails when it is not in it. */
  room(response: RigResponse, roomId = ROOM): WireRoom {
    const room = response.rooms[roomId];
    if (room === undefined) throw new Error(`${roomId} is not among ${Object.keys(response.rooms).join(", ")}`);
    return room;
  }

  #take(session: Session, response: RigResponse): RigResponse {
    this.#pos.set(session, response.pos);
    return response;
  }
}

/** Ids of a room's events, or of any. */
export const idsOf = (events: readonly WireEvent[] = []): string[] => events.map(({ event_id }) => event_id ?? "");
