import type { EventFields, Membership } from "#src/protocol/events.ts";
import type { RoomId, UserId } from "#src/protocol/ids.ts";
import type { PolledJoin, PolledRoom } from "#src/protocol/poll-batch.ts";
import { NaiveClient, type WireOp } from "./naive-client.ts";
import { type RigResponse, SyncRig } from "./sync-rig.ts";

const encoder = new TextEncoder();
const json = (value: unknown): Uint8Array => encoder.encode(JSON.stringify(value));

interface RoomOptions {
  name?: string | null;
  type?: string;
  isEncrypted?: boolean;
  predecessor?: string;
  /** Alice is not in it. */
  isForeign?: boolean;
  /** Of Alice's own join; the room's message is as new as any. */
  joinTs?: number;
}

/** One response as lists show it. */
export interface Shown {
  response: RigResponse;
  /** Operations of a list as text. */
  ops: (key: string) => string;
  count: (key: string) => number;
  /** Rooms in `rooms` by name, those that come whole with a `+`; sorted. */
  rooms: string;
}

/** Alice, whose lists are looked at, in rooms of Bob's named by one letter or word; the homeserver is played by polls. */
export class ListLife {
  readonly rig: SyncRig;
  readonly alice: UserId;
  readonly bob: UserId;
  readonly client = new NaiveClient();
  readonly connId: string;

  constructor(rig: SyncRig, alice: UserId, bob: UserId, connId = "") {
    this.rig = rig;
    this.alice = alice;
    this.bob = bob;
    this.connId = connId;
  }

  static async start(): Promise<ListLife> {
    const rig = await SyncRig.start();
    return new ListLife(rig, await rig.addUser("alice"), await rig.addUser("bob"));
  }

  /** Another connection of Alice's. */
  another(connId: string): ListLife {
    return new ListLife(this.rig, this.alice, this.bob, connId);
  }

  stop(): Promise<void> {
    return this.rig.stop();
  }

  id(name: string): string {
    return `!${name}`;
  }

  /** A room of Bob's, in which Alice is, with a message in it. */
  async room(name: string, options: RoomOptions = {}): Promise<void> {
    const { rig, alice, bob } = this;
    const members = options.isForeign === true ? [] : [rig.member(alice, "join", alice, options.joinTs)];
    const state = [
      rig.event(
        "m.room.create",
        bob,
        {
          room_version: "11",
          ...(options.type === undefined ? {} : { type: options.type }),
          ...(options.predecessor === undefined ? {} : { predecessor: { room_id: this.id(options.predecessor) } }),
        },
        { stateKey: "" },
      ),
      rig.member(bob, "join"),
      ...members,
    ];
    if (options.name !== null) {
      state.push(rig.event("m.room.name", bob, { name: options.name ?? name }, { stateKey: "" }));
    }
    if (options.isEncrypted === true) {
      state.push(rig.event("m.room.encryption", bob, { algorithm: "m.megolm.v1.aes-sha2" }, { stateKey: "" }));
    }
    const timeline = [this.message(`first of ${name}`)];
    await rig.poll(bob, [rig.join(this.id(name), { state, timeline })]);
    if (options.isForeign !== true) await rig.poll(alice, [rig.join(this.id(name), { state, timeline })]);
  }

  async rooms(...names: string[]): Promise<void> {
    for (const name of names) await this.room(name);
  }

  message(body: string, ts?: number): EventFields {
    return this.rig.event("m.room.message", this.bob, { body }, ts === undefined ? {} : { ts });
  }

  /** Events that both see in their timelines. */
  async events(name: string, ...timeline: EventFields[]): Promise<void> {
    for (const user of [this.bob, this.alice]) {
      await this.rig.poll(user, [this.rig.join(this.id(name), { timeline })]);
    }
  }

  say(name: string): Promise<void> {
    return this.events(name, this.message(`more of ${name}`));
  }

  state(name: string, type: string, content: Record<string, unknown>, stateKey = ""): Promise<void> {
    return this.events(name, this.rig.event(type, this.bob, content, { stateKey }));
  }

  child(space: string, name: string, content: Record<string, unknown> = { via: ["hs"] }): Promise<void> {
    return this.state(space, "m.space.child", content, this.id(name));
  }

  /** Something only Alice is told of a room. */
  own(name: string, parts: Partial<PolledJoin>): Promise<void> {
    return this.rig.poll(this.alice, [this.rig.join(this.id(name), parts)]);
  }

  counts(name: string, notificationCount: number, highlightCount: number): Promise<void> {
    return this.own(name, { notificationCount, highlightCount });
  }

  tags(name: string, ...tags: string[]): Promise<void> {
    const content = { tags: Object.fromEntries(tags.map((tag) => [tag, {}])) };
    return this.own(name, { accountData: [{ type: "m.tag", json: json({ type: "m.tag", content }) }] });
  }

  /** All of Alice's direct rooms. */
  direct(...names: string[]): Promise<void> {
    const content = { [this.bob]: names.map((name) => this.id(name)) };
    return this.rig.poll(this.alice, [], {
      accountData: [{ type: "m.direct", json: json({ type: "m.direct", content }) }],
    });
  }

  async invite(name: string, options: RoomOptions & { isDirect?: boolean } = {}): Promise<void> {
    const event = (type: string, stateKey: string, content: Record<string, unknown>) => ({
      type,
      state_key: stateKey,
      sender: this.bob,
      content,
    });
    const stripped = [
      event("m.room.create", "", options.type === undefined ? {} : { type: options.type }),
      event("m.room.name", "", { name: options.name ?? name }),
      ...(options.isEncrypted === true ? [event("m.room.encryption", "", { algorithm: "x" })] : []),
      event("m.room.member", this.bob, { membership: "join", displayname: "Bob" }),
      event("m.room.member", this.alice, { membership: "invite", is_direct: options.isDirect === true }),
    ];
    const invite: PolledRoom = { kind: "invite", roomId: this.id(name) as RoomId, stripped: json(stripped) };
    await this.rig.poll(this.alice, [invite]);
  }

  /** Alice joins, by a timeline that has the join; Bob sees it too. */
  async join(name: string, ts?: number): Promise<EventFields> {
    const event = this.rig.member(this.alice, "join", this.alice, ts);
    await this.events(name, event);
    return event;
  }

  /** Alice goes or is made to: by herself, or by Bob. Both see it, each in their own way. */
  async depart(name: string, membership: Membership, sender: UserId, isShared = true): Promise<EventFields> {
    const event = this.rig.member(this.alice, membership, sender);
    const leave: PolledRoom = {
      kind: "leave",
      roomId: this.id(name) as RoomId,
      state: [],
      isStateAfter: false,
      timeline: [event],
      limited: false,
      prevBatch: null,
      accountData: [],
    };
    if (isShared) await this.rig.poll(this.bob, [this.rig.join(this.id(name), { timeline: [event] })]);
    await this.rig.poll(this.alice, [leave]);
    return event;
  }

  /** One request of Alice's; its answer is applied to her client. */
  async sync(lists: Record<string, unknown> = {}, body: Record<string, unknown> = {}): Promise<Shown> {
    const request = { lists, ...body, ...(this.connId === "" ? {} : { conn_id: this.connId }) };
    const response = await this.rig.sync(this.alice, request, { pos: this.client.pos });
    this.client.apply(response);
    return {
      response,
      ops: (key) => (response.lists[key]?.ops ?? []).map(writeOp).join(", "),
      count: (key) => response.lists[key]?.count ?? -1,
      rooms: Object.entries(response.rooms)
        .map(([roomId, room]) => `${roomId.slice(1)}${room.initial === true ? "+" : ""}`)
        .sort()
        .join(" "),
    };
  }
}

function writeOp(op: WireOp): string {
  const where = op.range === undefined ? `${op.index}` : `[${op.range.join()}]`;
  const rooms = op.room_ids ?? (op.room_id === undefined ? [] : [op.room_id]);
  return [op.op, where, ...rooms.map((roomId) => roomId.slice(1))].join(" ");
}
