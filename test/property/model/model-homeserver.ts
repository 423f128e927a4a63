import { type ModelEvent, ModelRoom, stateKeyOf } from "./homeserver-room.ts";

/** A user of ours, with devices that are polled, or one of another homeserver. */
export interface ModelUser {
  readonly id: string;
  readonly devices: readonly string[];
  displayName: string;
}

/** Something with a place in the stream; a later one of the same key replaces it. */
interface Datum {
  readonly pos: number;
  readonly type: string;
  readonly content: unknown;
}

export interface ModelReceipt {
  readonly pos: number;
  readonly userId: string;
  readonly eventId: string;
  readonly threadId: string;
  readonly isPrivate: boolean;
  readonly ts: number;
}

interface Counts {
  readonly pos: number;
  readonly notifications: number;
  readonly highlights: number;
}

/** What the homeserver keeps for one device. */
export interface ModelDevice {
  readonly toDevice: { readonly pos: number; readonly n: number; readonly sender: string }[];
  readonly deviceLists: { readonly pos: number; readonly target: string; readonly change: "changed" | "left" }[];
  otkCount: number;
  fallback: string[];
}

interface SendOptions {
  stateKey?: string;
  ts?: number;
  device?: string;
  redacts?: string;
}

const EPOCH_MS = 1_700_000_000_000;

/** The truth: users, rooms and everything else a homeserver knows, with the position of each change. Nobody's wishes but the history's. */
export class ModelHomeserver {
  pos = 0;
  /** State goes wrong now and then, and is compared in the end. */
  heals = false;
  /** Whether a timeline is limited that begins where its user may see no further back. */
  limitsJoins = true;
  readonly rooms = new Map<string, ModelRoom>();
  readonly users = new Map<string, ModelUser>();
  readonly devices = new Map<string, ModelDevice>();
  /** By user, then room id ("" = global), then type. */
  readonly accountData = new Map<string, Map<string, Map<string, Datum>>>();
  readonly receipts = new Map<string, Map<string, ModelReceipt>>();
  readonly counts = new Map<string, Map<string, Counts>>();
  readonly typing = new Map<string, { pos: number; userIds: string[] }>();
  /** Stripped state as served with each invite or knock, by room and user. */
  readonly #stripped = new Map<string, Record<string, unknown>[][]>();
  readonly #ignored = new Map<string, Set<string>>();

  addUser(id: string, devices: readonly string[]): ModelUser {
    const user = { id, devices, displayName: id.slice(1, id.indexOf(":")) };
    this.users.set(id, user);
    for (const device of devices) {
      this.devices.set(`${id}/${device}`, {
        toDevice: [],
        deviceLists: [],
        otkCount: 50,
        fallback: ["signed_curve25519"],
      });
    }
    return user;
  }

  device(userId: string, deviceId: string): ModelDevice {
    const device = this.devices.get(`${userId}/${deviceId}`);
    if (device === undefined) throw new Error(`no device ${deviceId} of ${userId}`);
    return device;
  }

  room(id: string): ModelRoom {
    const room = this.rooms.get(id);
    if (room === undefined) throw new Error(`no room ${id}`);
    return room;
  }

  tick(): number {
    this.pos += 1;
    return this.pos;
  }

  createRoom(id: string, creator: string, content: Record<string, unknown> = {}): ModelRoom {
    const room = new ModelRoom(id);
    this.rooms.set(id, room);
    this.send(id, creator, "m.room.create", { room_version: "11", creator, ...content }, { stateKey: "" });
    this.setMember(id, creator, "join");
    return room;
  }

  send(
    roomId: string,
    sender: string,
    type: string,
    content: Record<string, unknown>,
    options: SendOptions = {},
  ): ModelEvent {
    const room = this.room(roomId);
    const pos = this.tick();
    const { stateKey = null, device } = options;
    const event: ModelEvent = {
      id: `$${pos}`,
      type,
      sender,
      stateKey,
      content,
      ts: options.ts ?? EPOCH_MS + pos * 1000,
      pos,
      index: room.log.length,
      replaced: stateKey === null ? null : room.get(type, stateKey),
      txn: device === undefined ? null : { device, id: `txn${pos}` },
      redacts: options.redacts ?? null,
      redactedBy: null,
    };
    room.append(event);
    const target = options.redacts === undefined ? undefined : room.byId.get(options.redacts);
    if (target !== undefined && target.redactedBy === null) target.redactedBy = event;
    return event;
  }

  setMember(
    roomId: string,
    userId: string,
    membership: string,
    options: { sender?: string; isDirect?: boolean; avatar?: string; ts?: number; device?: string } = {},
  ): ModelEvent {
    const { sender = userId, isDirect = false, avatar } = options;
    const content: Record<string, unknown> = { membership };
    if (membership === "join" || membership === "invite") {
      content["displayname"] = this.users.get(userId)?.displayName ?? userId;
      if (avatar !== undefined) content["avatar_url"] = avatar;
      if (isDirect) content["is_direct"] = true;
    }
    const { ts, device } = options;
    const event = this.send(roomId, sender, "m.room.member", content, {
      stateKey: userId,
      ...(ts === undefined ? {} : { ts }),
      ...(device === undefined ? {} : { device }),
    });
    if (membership === "invite" || membership === "knock") this.#strip(roomId, userId, event);
    return event;
  }

  /** Other state wins, as after a state resolution: `event` null takes the state away. */
  resetState(roomId: string, type: string, stateKey: string, event: ModelEvent | null): void {
    const room = this.room(roomId);
    room.setState(this.tick(), type, stateKey, event);
    room.hasLost ||= type === "m.room.member" && event === null;
  }

  /** The homeserver deletes a room: nobody is in it from now on, and no event tells of it. */
  purge(roomId: string): void {
    const room = this.room(roomId);
    room.isPurged = true;
    for (const userId of room.members("join", "invite", "knock", "leave", "ban"))
      this.resetState(roomId, "m.room.member", userId, null);
  }

  /** State that came in without ever being in a timeline. */
  outlier(roomId: string, sender: string, type: string, content: Record<string, unknown>): void {
    const room = this.room(roomId);
    const pos = this.tick();
    const event: ModelEvent = {
      id: `$${pos}`,
      type,
      sender,
      stateKey: "",
      content,
      ts: EPOCH_MS + pos * 1000,
      pos,
      index: -1,
      replaced: room.get(type),
      txn: null,
      redacts: null,
      redactedBy: null,
    };
    room.setState(pos, type, "", event);
  }

  /** `roomId` "" = global. */
  setAccountData(userId: string, roomId: string, type: string, content: unknown): void {
    const rooms = this.accountData.get(userId) ?? new Map<string, Map<string, Datum>>();
    this.accountData.set(userId, rooms);
    const types = rooms.get(roomId) ?? new Map<string, Datum>();
    rooms.set(roomId, types);
    types.set(type, { pos: this.tick(), type, content });
  }

  accountDataOf(userId: string, roomId: string): Datum[] {
    return [...(this.accountData.get(userId)?.get(roomId)?.values() ?? [])].sort((a, b) => a.pos - b.pos);
  }

  globalContent(userId: string, type: string): unknown {
    return this.accountData.get(userId)?.get("")?.get(type)?.content;
  }

  setReceipt(roomId: string, receipt: Omit<ModelReceipt, "pos" | "ts">): void {
    const receipts = this.receipts.get(roomId) ?? new Map<string, ModelReceipt>();
    this.receipts.set(roomId, receipts);
    const pos = this.tick();
    const { userId, threadId, isPrivate } = receipt;
    receipts.set(JSON.stringify([userId, threadId, isPrivate]), { ...receipt, pos, ts: EPOCH_MS + pos * 1000 });
  }

  setCounts(userId: string, roomId: string, notifications: number, highlights: number): void {
    const rooms = this.counts.get(userId) ?? new Map<string, Counts>();
    this.counts.set(userId, rooms);
    rooms.set(roomId, { pos: this.tick(), notifications, highlights });
  }

  countsOf(userId: string, roomId: string): Counts {
    return this.counts.get(userId)?.get(roomId) ?? { pos: 0, notifications: 0, highlights: 0 };
  }

  setTyping(roomId: string, userIds: string[]): void {
    this.typing.set(roomId, { pos: this.tick(), userIds });
  }

  /** Stripped state of the latest invite or knock. */
  strippedOf(roomId: string, userId: string): Record<string, unknown>[] {
    return this.#stripped.get(`${roomId} ${userId}`)?.at(-1) ?? [];
  }

  /** As JSON, of every invite and knock. */
  allStrippedOf(roomId: string, userId: string): string[] {
    return (this.#stripped.get(`${roomId} ${userId}`) ?? []).map((events) => JSON.stringify(events));
  }

  /** Whoever the user ignored at any time. */
  everIgnored(userId: string): ReadonlySet<string> {
    return this.#ignored.get(userId) ?? new Set();
  }

  ignore(userId: string, victims: readonly string[]): void {
    this.#ignored.set(userId, new Set([...this.everIgnored(userId), ...victims]));
    const ignored = Object.fromEntries(victims.map((victim) => [victim, {}]));
    this.setAccountData(userId, "", "m.ignored_user_list", { ignored_users: ignored });
  }

  /** What a homeserver shows of a room from outside: as it is at the invite. */
  #strip(roomId: string, userId: string, member: ModelEvent): void {
    const room = this.room(roomId);
    const shown = ["m.room.create", "m.room.name", "m.room.avatar", "m.room.canonical_alias", "m.room.encryption"]
      .map((type) => room.state.get(stateKeyOf(type, "")))
      .concat(room.state.get(stateKeyOf("m.room.member", member.sender)), member);
    const events = [...new Set(shown)].flatMap((event) =>
      event === undefined
        ? []
        : [
            {
              type: event.type,
              sender: event.sender,
              state_key: event.stateKey,
              content: event.redactedBy === null ? event.content : {},
              ...(event === member ? { origin_server_ts: event.ts } : {}),
            },
          ],
    );
    const key = `${roomId} ${userId}`;
    this.#stripped.set(key, [...(this.#stripped.get(key) ?? []), events]);
  }
}
