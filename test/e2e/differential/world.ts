import type { SynapseUser } from "#test/support/synapse.ts";
import { type Synapse } from "#test/support/synapse.ts";
import { WorldLog } from "./world-log.ts";

export type Name = "alice" | "bob" | "carol";

const NAMES: readonly Name[] = ["alice", "bob", "carol"];

const part = encodeURIComponent;

/** Accounts and rooms on a homeserver, by name, and everything that can happen to them. */
export class World {
  readonly #users: Record<Name, SynapseUser>;
  /** Waits until every server has heard of everything so far. */
  settle: () => Promise<void> = () => Promise.resolve();
  readonly log = new WorldLog();
  readonly #rooms = new Map<string, string>();
  #txn = 0;

  private constructor(users: Record<Name, SynapseUser>) {
    this.#users = users;
  }

  static async create(synapse: Synapse, suffix: string): Promise<World> {
    const users = await Promise.all(NAMES.map((name) => synapse.register(`${name}-${suffix}`)));
    return new World(Object.fromEntries(NAMES.map((name, index) => [name, users[index]])) as Record<Name, SynapseUser>);
  }

  /** The device that an account acts with. */
  user(name: Name): SynapseUser {
    return this.#users[name];
  }

  id(name: Name): string {
    return this.#users[name].userId;
  }

  /** The id of a room that was made under this name. */
  room(name: string): string {
    const roomId = this.#rooms.get(name);
    if (roomId === undefined) throw new Error(`no room is called ${name}`);
    return roomId;
  }

  get roomNames(): string[] {
    return [...this.#rooms.keys()];
  }

  /** A text in which ids are replaced by names. */
  named(text: string): string {
    let result = text;
    for (const [name, roomId] of this.#rooms) result = result.replaceAll(roomId, `<${name}>`);
    for (const name of NAMES) result = result.replaceAll(this.id(name), `@${name}`);
    return result;
  }

  async make(name: string, by: Name, options: Record<string, unknown> = {}): Promise<string> {
    const roomId = await this.user(by).createRoom({ preset: "public_chat", name, ...options });
    this.#rooms.set(name, roomId);
    this.log.moved(roomId, this.id(by), "join", this.id(by));
    return roomId;
  }

  /** A call of one account on a room; `{}` as the body where none is given. */
  in<T = Record<string, unknown>>(
    room: string,
    by: Name,
    method: string,
    path: string,
    body: unknown = {},
  ): Promise<T> {
    return this.user(by).call<T>(
      method,
      `/rooms/${part(this.room(room))}/${path}`,
      method === "GET" ? undefined : body,
    );
  }

  async send(room: string, by: Name, type: string, content: Record<string, unknown>): Promise<string> {
    this.#txn += 1;
    const path = `send/${part(type)}/w${this.#txn}`;
    const { event_id: eventId } = await this.in<{ event_id: string }>(room, by, "PUT", path, content);
    this.log.happened(this.room(room));
    return eventId;
  }

  say(room: string, by: Name, body: string): Promise<string> {
    return this.send(room, by, "m.room.message", { msgtype: "m.text", body });
  }

  async sayMany(room: string, by: Name, count: number): Promise<void> {
    for (let index = 0; index < count; index += 1) await this.say(room, by, `${index} of ${count}`);
  }

  react(room: string, by: Name, eventId: string): Promise<string> {
    return this.send(room, by, "m.reaction", {
      "m.relates_to": { rel_type: "m.annotation", event_id: eventId, key: "+1" },
    });
  }

  async redact(room: string, by: Name, eventId: string): Promise<void> {
    this.#txn += 1;
    await this.in(room, by, "PUT", `redact/${part(eventId)}/w${this.#txn}`);
    this.log.happened(this.room(room));
  }

  async state(room: string, by: Name, type: string, content: unknown, stateKey = ""): Promise<string> {
    const path = `state/${part(type)}/${part(stateKey)}`;
    const { event_id: eventId } = await this.in<{ event_id: string }>(room, by, "PUT", path, content);
    this.log.changed(this.room(room), type, stateKey);
    return eventId;
  }

  invite(room: string, by: Name, who: Name): Promise<void> {
    return this.#move(room, by, "invite", "invite", who);
  }

  /** What changes somebody's membership. */
  async #move(room: string, by: Name, path: string, membership: string, who: Name = by): Promise<void> {
    await this.in(room, by, "POST", path, who === by ? {} : { user_id: this.id(who) });
    this.log.moved(this.room(room), this.id(who), membership, this.id(by));
  }

  /** Whoever's poll is first tells of a join: what went before it has to be heard before it. */
  async join(room: string, by: Name): Promise<void> {
    await this.settle();
    const isBack = !this.log.isIn(this.room(room), this.id(by));
    await this.in(room, by, "POST", "join");
    // Who joins where they are is where they are.
    if (isBack) this.log.moved(this.room(room), this.id(by), "join", this.id(by));
  }

  leave(room: string, by: Name): Promise<void> {
    return this.#move(room, by, "leave", "leave");
  }

  forget(room: string, by: Name): Promise<unknown> {
    return this.in(room, by, "POST", "forget");
  }

  async knock(room: string, by: Name): Promise<void> {
    await this.user(by).call("POST", `/knock/${part(this.room(room))}`, {});
    this.log.moved(this.room(room), this.id(by), "knock", this.id(by));
  }

  kick(room: string, by: Name, who: Name): Promise<void> {
    return this.#move(room, by, "kick", "leave", who);
  }

  ban(room: string, by: Name, who: Name): Promise<void> {
    return this.#move(room, by, "ban", "ban", who);
  }

  unban(room: string, by: Name, who: Name): Promise<void> {
    return this.#move(room, by, "unban", "leave", who);
  }

  accountData(by: Name, type: string, content: unknown): Promise<unknown> {
    return this.user(by).call("PUT", `/user/${part(this.id(by))}/account_data/${part(type)}`, content);
  }

  async roomData(room: string, by: Name, type: string, content: unknown): Promise<void> {
    const path = `/user/${part(this.id(by))}/rooms/${part(this.room(room))}/account_data/${part(type)}`;
    await this.user(by).call("PUT", path, content);
    this.log.dataSet(this.room(room), this.id(by), type);
  }

  async tag(room: string, by: Name, tag: string, isOn = true): Promise<void> {
    const path = `/user/${part(this.id(by))}/rooms/${part(this.room(room))}/tags/${part(tag)}`;
    await this.user(by).call(isOn ? "PUT" : "DELETE", path, isOn ? { order: 0.5 } : undefined);
    this.log.tagged(this.room(room), this.id(by));
    this.log.dataSet(this.room(room), this.id(by), "m.tag");
  }

  async typing(room: string, by: Name, isOn: boolean): Promise<void> {
    const body = isOn ? { typing: true, timeout: 110_000 } : { typing: false };
    await this.in(room, by, "PUT", `typing/${part(this.id(by))}`, body);
    this.log.typed(this.room(room), this.id(by), isOn);
  }

  read(room: string, by: Name, eventId: string, kind = "m.read", thread?: string): Promise<unknown> {
    const body = thread === undefined ? {} : { thread_id: thread };
    return this.in(room, by, "POST", `receipt/${part(kind)}/${part(eventId)}`, body);
  }

  toDevice(by: Name, to: Name, text: string): Promise<unknown> {
    this.#txn += 1;
    return this.user(by).call("PUT", `/sendToDevice/org.example.note/w${this.#txn}`, {
      messages: { [this.id(to)]: { "*": { text } } },
    });
  }

  /** A new display name, once it has reached all rooms of the user. */
  async rename(by: Name, displayname: string): Promise<void> {
    const user = this.user(by);
    await user.call("PUT", `/profile/${part(this.id(by))}/displayname`, { displayname });
    const { joined_rooms: joined } = await user.call<{ joined_rooms: string[] }>("GET", "/joined_rooms");
    for (const roomId of joined) {
      const path = `/rooms/${part(roomId)}/state/m.room.member/${part(this.id(by))}`;
      while ((await user.call("GET", path))["displayname"] !== displayname) await Bun.sleep(10);
      this.log.changed(roomId, "m.room.member", this.id(by));
    }
  }
}
