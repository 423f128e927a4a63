import type { EventFields } from "#src/protocol/events.ts";
import type { RoomId, UserId } from "#src/protocol/ids.ts";
import type { PolledRoom } from "#src/protocol/poll-batch.ts";
import type { SyncRig } from "./sync-rig.ts";

const encoder = new TextEncoder();

type Place = "none" | "invite" | "join" | "leave" | "ban";

interface PlayedRoom {
  roomId: string;
  name: string;
  alice: Place;
  /** Bob, who speaks and rules in every room, polls this one too. */
  isShared: boolean;
}

/** What can happen in a room; what makes no sense at the moment is not done. */
export type RoomAct =
  | "message"
  | "rename"
  | "tag"
  | "count"
  | "receipt"
  | "typing"
  | "invite"
  | "accept"
  | "reject"
  | "kick"
  | "ban"
  | "leave"
  | "rejoin"
  | "gap"
  | "state";

/** Body of whatever is said where Alice may not hear it. */
export const SECRET = "not for alice";

/** Plays a homeserver with two users of ours through polls, as random as it is asked to be. */
export class RoomPlay {
  readonly rooms: PlayedRoom[] = [];
  readonly #rig: SyncRig;
  readonly #alice: UserId;
  readonly #bob: UserId;
  #count = 0;

  constructor(rig: SyncRig, alice: UserId, bob: UserId) {
    this.#rig = rig;
    this.#alice = alice;
    this.#bob = bob;
  }

  /** A new room; Alice is in it or not yet invited. */
  async create(roomId: string, options: { isShared: boolean; hasAlice: boolean }): Promise<void> {
    const room: PlayedRoom = {
      roomId,
      name: roomId,
      alice: options.hasAlice ? "join" : "none",
      isShared: options.isShared,
    };
    this.rooms.push(room);
    const state = this.#stateOf(room);
    const timeline = [this.#say(room)];
    if (room.isShared) await this.#rig.poll(this.#bob, [this.#rig.join(roomId, { state, timeline })]);
    if (options.hasAlice) await this.#rig.poll(this.#alice, [this.#rig.join(roomId, { state, timeline })]);
  }

  async act(index: number, act: RoomAct, aliceFirst: boolean): Promise<void> {
    const room = this.rooms[index % this.rooms.length];
    if (room === undefined) return;
    const rig = this.#rig;
    const { roomId } = room;
    const isIn = room.alice === "join";
    this.#count += 1;
    switch (act) {
      case "message":
        return this.#event(room, this.#say(room), aliceFirst);
      case "rename":
        room.name = `${"zyxwvu"[this.#count % 6]}${this.#count}`;
        return this.#event(room, this.#name(room), aliceFirst);
      case "tag":
        return isIn ? this.#tag(room) : undefined;
      case "count":
        if (!isIn) return;
        return rig.poll(this.#alice, [
          rig.join(roomId, { notificationCount: this.#count % 4, highlightCount: this.#count % 2 }),
        ]);
      case "receipt": {
        if (!isIn) return;
        const receipt = { userId: this.#bob, eventId: `$r${this.#count}`, threadId: "", isPrivate: false };
        return rig.poll(this.#alice, [rig.join(roomId, { receipts: [{ ...receipt, ts: this.#count }] })]);
      }
      case "typing":
        return isIn ? this.#type(room) : undefined;
      case "invite":
        return room.alice === "join" || room.alice === "invite" ? undefined : this.#invite(room, aliceFirst);
      case "accept":
        return room.alice === "invite" ? this.#join(room, aliceFirst) : undefined;
      case "rejoin":
        return room.alice === "leave" ? this.#join(room, aliceFirst) : undefined;
      case "reject":
        if (room.alice !== "invite") return;
        return this.#depart(room, "leave", this.#count % 2 === 0 ? this.#alice : this.#bob, aliceFirst);
      case "kick":
        return isIn ? this.#depart(room, "leave", this.#bob, aliceFirst) : undefined;
      case "ban":
        return isIn ? this.#depart(room, "ban", this.#bob, aliceFirst) : undefined;
      case "leave":
        return isIn ? this.#depart(room, "leave", this.#alice, aliceFirst) : undefined;
      case "gap":
        if (!isIn || room.isShared) return;
        return rig.poll(this.#alice, [
          rig.join(roomId, { timeline: [this.#say(room)], limited: true, prevBatch: `p${this.#count}` }),
        ]);
      case "state":
        if (!isIn) return;
        room.name = `s${this.#count}`;
        // Told outside of any timeline.
        return rig.poll(this.#alice, [rig.join(roomId, { state: [this.#name(room)] })]);
    }
  }

  /** One event as everybody who is in the room polls it. */
  async #event(room: PlayedRoom, event: EventFields, aliceFirst: boolean): Promise<void> {
    const section = (): PolledRoom => this.#rig.join(room.roomId, { timeline: [event] });
    await this.#polls(room.isShared ? [section()] : [], room.alice === "join" ? [section()] : [], aliceFirst);
  }

  async #invite(room: PlayedRoom, aliceFirst: boolean): Promise<void> {
    room.alice = "invite";
    const event = this.#rig.member(this.#alice, "invite", this.#bob);
    const stripped = encoder.encode(
      JSON.stringify([
        { type: "m.room.name", state_key: "", sender: this.#bob, content: { name: room.name } },
        { type: "m.room.member", state_key: this.#alice, sender: this.#bob, content: { membership: "invite" } },
      ]),
    );
    const invite: PolledRoom = { kind: "invite", roomId: room.roomId as RoomId, stripped };
    await this.#polls(room.isShared ? [this.#rig.join(room.roomId, { timeline: [event] })] : [], [invite], aliceFirst);
  }

  async #join(room: PlayedRoom, aliceFirst: boolean): Promise<void> {
    room.alice = "join";
    const event = this.#rig.member(this.#alice, "join");
    const own = this.#rig.join(room.roomId, {
      state: this.#stateOf(room, false),
      timeline: [event],
      limited: true,
      prevBatch: `j${this.#count}`,
    });
    await this.#polls(room.isShared ? [this.#rig.join(room.roomId, { timeline: [event] })] : [], [own], aliceFirst);
  }

  async #depart(room: PlayedRoom, to: "leave" | "ban", sender: string, aliceFirst: boolean): Promise<void> {
    room.alice = to;
    const event = this.#rig.member(this.#alice, to, sender);
    const own: PolledRoom = {
      kind: "leave",
      roomId: room.roomId as RoomId,
      state: [],
      isStateAfter: false,
      timeline: [event],
      limited: false,
      prevBatch: null,
      accountData: [],
    };
    await this.#polls(room.isShared ? [this.#rig.join(room.roomId, { timeline: [event] })] : [], [own], aliceFirst);
  }

  async #tag(room: PlayedRoom): Promise<void> {
    const tags = this.#count % 3 === 0 ? {} : { "u.x": { order: this.#count } };
    const json = encoder.encode(JSON.stringify({ type: "m.tag", content: { tags } }));
    await this.#rig.poll(this.#alice, [this.#rig.join(room.roomId, { accountData: [{ type: "m.tag", json }] })]);
  }

  async #type(room: PlayedRoom): Promise<void> {
    const userIds = this.#count % 2 === 0 ? [] : [this.#bob];
    const json = encoder.encode(JSON.stringify({ type: "m.typing", content: { user_ids: userIds } }));
    await this.#rig.poll(this.#alice, [this.#rig.join(room.roomId, { typing: { json, userIds } })]);
  }

  async #polls(bobs: PolledRoom[], alices: PolledRoom[], aliceFirst: boolean): Promise<void> {
    const polls: [UserId, PolledRoom[]][] = [
      [this.#bob, bobs],
      [this.#alice, alices],
    ];
    if (aliceFirst) polls.reverse();
    for (const [user, rooms] of polls) if (rooms.length > 0) await this.#rig.poll(user, rooms);
  }

  #say(room: PlayedRoom): EventFields {
    const body = room.alice === "join" ? `${room.roomId} ${this.#count}` : SECRET;
    return this.#rig.event("m.room.message", this.#bob, { body });
  }

  #name(room: PlayedRoom): EventFields {
    return this.#rig.event("m.room.name", this.#bob, { name: room.name }, { stateKey: "" });
  }

  #stateOf(room: PlayedRoom, hasAlice = room.alice === "join"): EventFields[] {
    const id = (what: string): string => `$${room.roomId}-${what}`;
    const rig = this.#rig;
    const state = [
      rig.event("m.room.create", this.#bob, { room_version: "11" }, { stateKey: "", id: id("create"), ts: 1 }),
      rig.event("m.room.member", this.#bob, { membership: "join" }, { stateKey: this.#bob, id: id("bob"), ts: 2 }),
    ];
    if (hasAlice) state.push(rig.member(this.#alice, "join"));
    return state;
  }
}
