import type { Cancel, Clock, Rng, Timers } from "#src/ports/basics.ts";
import { REACTIONS, REMARKS, RESIDENTS, ROOM_NAMES, TOPICS } from "./demo-lines.ts";
import type { Session } from "./homeserver/accounts.ts";
import type { DemoHomeserver } from "./homeserver/demo-homeserver.ts";

/** What the residents need. */
export interface ResidentsDeps {
  homeserver: DemoHomeserver;
  clock: Clock;
  rng: Rng;
  timers: Timers;
}

/** How much goes on. */
export interface ResidentsOptions {
  newcomer: Session;
  roomCount: number;
  /** 1 = something about every second; 10 = ten times as often. */
  speed: number;
}

/** Mean time between two things that happen, at speed 1. */
const STEP_MS = 1200;
/** How long somebody types before a message, at speed 1. */
const TYPING_MS = 1500;
/** How far back the first messages lie. */
const PAST_MS = 36 * 3_600_000;
/** Rooms that can be added while it runs. */
const EXTRA_ROOMS = 12;
/** Invites that wait for the newcomer at once. */
const OPEN_INVITES = 2;

/** A few people who chat, join, leave, type, react and rename, the same way for the same seed. */
export class Residents {
  readonly #deps: ResidentsDeps;
  readonly #options: ResidentsOptions;
  readonly #people: Session[] = [];
  readonly #rooms: string[] = [];
  #invites: string[] = [];
  readonly #pending = new Set<Cancel>();
  #isRunning = false;

  constructor(deps: ResidentsDeps, options: ResidentsOptions) {
    this.#deps = deps;
    this.#options = options;
  }

  /** Makes the residents, their rooms and a past; the newcomer is in all of the rooms. */
  settle(): void {
    const { homeserver } = this.#deps;
    for (const { name, displayName } of RESIDENTS) this.#people.push(homeserver.user(name, { displayName }));
    const directs: Record<string, string[]> = {};
    for (let index = 0; index < this.#options.roomCount; index += 1) {
      const isDirect = index % 9 === 4;
      const roomId = this.#openRoom(isDirect);
      if (isDirect) {
        const [other] = this.#others(roomId);
        if (other !== undefined) (directs[other.account.userId] ??= []).push(roomId);
      }
      this.#rooms.push(roomId);
    }
    const { newcomer } = this.#options;
    homeserver.setAccountData(newcomer, null, "m.direct", directs);
    this.#tag(this.#rooms[0], "m.favourite");
    this.#tag(this.#rooms[1], "m.lowpriority");
  }

  #tag(roomId: string | undefined, tag: string): void {
    if (roomId === undefined) return;
    this.#deps.homeserver.setAccountData(this.#options.newcomer, roomId, "m.tag", { tags: { [tag]: { order: 0.5 } } });
  }

  #nextName(): string {
    const index = this.#rooms.length;
    const round = Math.floor(index / ROOM_NAMES.length);
    const name = ROOM_NAMES[index % ROOM_NAMES.length] ?? "Room";
    return round === 0 ? name : `${name} ${round + 1}`;
  }

  /** A room with some residents and some past, and the newcomer in it. */
  #openRoom(isDirect: boolean): string {
    const { homeserver, clock } = this.#deps;
    const { newcomer } = this.#options;
    const owner = this.#pick(this.#people);
    const bornAt = clock.now() - PAST_MS;
    const roomId = homeserver.createRoom(owner, {
      ts: bornAt,
      ...(isDirect
        ? { is_direct: true, preset: "trusted_private_chat", invite: [newcomer.account.userId] }
        : { preset: "public_chat", visibility: "public", name: this.#nextName(), topic: this.#pick(TOPICS) }),
    });
    homeserver.join(newcomer, roomId, { ts: bornAt });
    if (!isDirect) {
      for (const person of this.#people) {
        if (person !== owner && this.#chance(0.6)) homeserver.join(person, roomId, { ts: bornAt });
      }
    }
    this.#tellPast(roomId);
    return roomId;
  }

  #tellPast(roomId: string): void {
    const { homeserver, clock, rng } = this.#deps;
    const count = 3 + Math.floor(rng.next() * 20);
    const lastAt = clock.now() - Math.floor(rng.next() * (PAST_MS / 2));
    for (let index = 0; index < count; index += 1) {
      const ts = lastAt - (count - index) * 60_000;
      homeserver.send(this.#pick(this.#others(roomId)), roomId, this.#pick(REMARKS), { ts });
    }
    homeserver.read(this.#options.newcomer, roomId);
  }

  /** Goes on until `stop`. */
  start(): void {
    this.#isRunning = true;
    this.#schedule();
  }

  /** Nothing happens from now on. */
  stop(): void {
    this.#isRunning = false;
    for (const cancel of this.#pending) cancel();
    this.#pending.clear();
  }

  #schedule(): void {
    this.#later(STEP_MS * (0.3 + 1.4 * this.#deps.rng.next()), () => {
      this.step();
      this.#schedule();
    });
  }

  #later(delayMs: number, run: () => void): void {
    if (!this.#isRunning) return;
    const cancel = this.#deps.timers.after(delayMs / this.#options.speed, () => {
      this.#pending.delete(cancel);
      run();
    });
    this.#pending.add(cancel);
  }

  /** One thing happens. */
  step(): void {
    const roll = this.#deps.rng.next();
    if (roll < 0.68) this.#chat();
    else if (roll < 0.78) this.#react();
    else if (roll < 0.86) this.#read();
    else if (roll < 0.91) this.#comeOrGo();
    else if (roll < 0.94) this.#rename();
    else if (roll < 0.97) this.#greet();
    else this.#inviteOrWithdraw();
  }

  #chat(): void {
    const roomId = this.#busyRoom();
    const person = this.#pick(this.#others(roomId));
    this.#say(roomId, person, this.#pick(REMARKS));
  }

  /** Types for a while, then sends, if still in the room. */
  #say(roomId: string, person: Session, text: string): void {
    const { homeserver, rng } = this.#deps;
    homeserver.typing(person, roomId);
    this.#later(TYPING_MS * (0.5 + rng.next()), () => {
      if (homeserver.room(roomId).room.membership(person.account.userId) !== "join") return;
      homeserver.typing(person, roomId, false);
      homeserver.send(person, roomId, text);
    });
  }

  #greet(): void {
    const roomId = this.#busyRoom();
    const { localpart } = this.#options.newcomer.account;
    this.#say(roomId, this.#pick(this.#others(roomId)), `${localpart}: what do you think?`);
  }

  #react(): void {
    const roomId = this.#busyRoom();
    const { room } = this.#deps.homeserver.room(roomId);
    const target = room.at(room.length - 1);
    if (target === undefined) return;
    const relation = { rel_type: "m.annotation", event_id: target.event.event_id, key: this.#pick(REACTIONS) };
    const person = this.#pick(this.#others(roomId));
    this.#deps.homeserver.send(person, roomId, { "m.relates_to": relation }, { type: "m.reaction" });
  }

  #read(): void {
    const roomId = this.#busyRoom();
    this.#deps.homeserver.read(this.#pick(this.#others(roomId)), roomId);
  }

  /** A resident leaves a public room, or comes back to it; never the last one. */
  #comeOrGo(): void {
    const { homeserver } = this.#deps;
    const roomId = this.#pick(this.#rooms);
    const { room } = homeserver.room(roomId);
    if (room.stateString("m.room.join_rules", "join_rule") !== "public") return;
    const person = this.#pick(this.#people);
    if (room.membership(person.account.userId) !== "join") homeserver.join(person, roomId);
    else if (this.#others(roomId).length > 2) homeserver.leave(person, roomId);
  }

  #rename(): void {
    const { homeserver } = this.#deps;
    const roomId = this.#pick(this.#rooms);
    const { room } = homeserver.room(roomId);
    const name = room.stateString("m.room.name", "name");
    const owner = room.state("m.room.create", "")?.event.sender;
    if (name === undefined || owner === undefined || room.membership(owner) !== "join") return;
    const plain = name.replace(/ \(.*\)$/u, "");
    homeserver.setState(owner, roomId, "m.room.name", {
      name: name === plain ? `${plain} (${this.#pick(TOPICS)})` : plain,
    });
  }

  /** Invites the newcomer to something new; once enough invites wait, the oldest is withdrawn instead. */
  #inviteOrWithdraw(): void {
    const { homeserver } = this.#deps;
    const { newcomer, roomCount } = this.#options;
    const { userId } = newcomer.account;
    this.#invites = this.#invites.filter((roomId) => homeserver.room(roomId).room.membership(userId) === "invite");
    const [oldest] = this.#invites;
    if (oldest !== undefined && this.#invites.length >= OPEN_INVITES) {
      const owner = homeserver.room(oldest).room.state("m.room.create", "")?.event.sender;
      if (owner !== undefined) homeserver.kick(owner, oldest, newcomer);
      return;
    }
    if (homeserver.stats().rooms >= roomCount + EXTRA_ROOMS) return;
    const name = `${this.#pick(ROOM_NAMES)} Committee`;
    this.#invites.push(homeserver.createRoom(this.#pick(this.#people), { name, invite: [userId] }));
  }

  /** Residents who are in a room. */
  #others(roomId: string): Session[] {
    const { room } = this.#deps.homeserver.room(roomId);
    return this.#people.filter((person) => room.membership(person.account.userId) === "join");
  }

  /** Some rooms are livelier than others. */
  #busyRoom(): string {
    const { rng } = this.#deps;
    const index = Math.floor(rng.next() ** 2 * this.#rooms.length);
    return this.#rooms[index] ?? this.#pick(this.#rooms);
  }

  #chance(probability: number): boolean {
    return this.#deps.rng.next() < probability;
  }

  #pick<T>(items: readonly T[]): T {
    const item = items[Math.floor(this.#deps.rng.next() * items.length)];
    if (item === undefined) throw new Error("nothing to pick from");
    return item;
  }
}
