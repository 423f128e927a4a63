import type { ModelRoom } from "./homeserver-room.ts";
import type { ModelHomeserver } from "./model-homeserver.ts";

/** What can happen on the homeserver; what makes no sense at the moment is not done. */
export const ACTS = [
  "message",
  "burst",
  "late-message",
  "name",
  "topic",
  "avatar",
  "alias",
  "visibility",
  "encrypt",
  "join",
  "leave",
  "kick",
  "ban",
  "unban",
  "invite",
  "reject",
  "retract",
  "knock",
  "profile",
  "redact",
  "upgrade",
  "fall-back",
  "outlier",
  "child",
  "create",
  "vanish",
  "purge",
  "tag",
  "direct",
  "ignore",
  "account-data",
  "receipt",
  "typing",
  "to-device",
  "device-list",
  "keys",
  "counts",
] as const;
export type Act = (typeof ACTS)[number];

/** One act: numbers choose room, people and details among what there is. */
export interface ActStep {
  readonly act: Act;
  readonly room: number;
  readonly who: number;
  readonly n: number;
}

const MAX_ROOMS = 12;
const VISIBILITIES = ["joined", "shared", "invited", "joined", "world_readable", "nonsense"];
const TYPES = ["m.room.message", "m.room.message", "m.sticker", "m.reaction", "org.example.custom"];
const LONG_AGO_MS = 1_600_000_000_000;

/** Does it, if it can be done. */
export function perform(hs: ModelHomeserver, step: ActStep): void {
  new Performance(hs, step).run();
}

class Performance {
  readonly #hs: ModelHomeserver;
  readonly #step: ActStep;
  readonly #room: ModelRoom;

  constructor(hs: ModelHomeserver, step: ActStep) {
    this.#hs = hs;
    this.#step = step;
    this.#room = pick<ModelRoom>([...hs.rooms.values()], step.room);
  }

  run(): void {
    const { act, n } = this.#step;
    if (this.#room.isPurged && act !== "create") return;
    switch (act) {
      case "visibility":
        return this.#state("m.room.history_visibility", { history_visibility: pick(VISIBILITIES, n) });
      case "message":
        return this.#say(1);
      case "burst":
        return this.#say(2 + (n % 4));
      case "late-message":
        return this.#by((sender) => {
          const ts = LONG_AGO_MS + this.#hs.pos;
          this.#hs.send(this.#room.id, sender, "m.room.message", { body: "late" }, { ts });
        });
      case "name":
        return this.#state("m.room.name", { name: pick(["", "Zoo", `room ${this.#hs.pos}`, "alpha", "#Beta"], n) });
      case "topic":
        return this.#state("m.room.topic", { topic: `topic ${this.#hs.pos}` });
      case "avatar":
        return this.#state("m.room.avatar", n % 3 === 0 ? {} : { url: `mxc://hs/${this.#hs.pos}` });
      case "alias":
        return this.#state("m.room.canonical_alias", n % 3 === 0 ? {} : { alias: `#a${this.#hs.pos}:hs` });
      case "encrypt":
        return this.#state("m.room.encryption", { algorithm: "m.megolm.v1.aes-sha2" });
      case "redact":
        return this.#redact();
      case "upgrade":
        return this.#upgrade();
      case "fall-back":
        return this.#fallBack();
      case "outlier":
        // Something is said at once: a timeline that is empty and limited is no answer of a homeserver.
        return this.#by((sender) => {
          this.#hs.outlier(this.#room.id, sender, "m.room.topic", { topic: `outlier ${this.#hs.pos}` });
          this.#hs.send(this.#room.id, sender, "m.room.message", { body: `said ${this.#hs.pos}` });
        });
      case "child":
        return this.#child();
      case "create":
        return this.#create();
      case "vanish":
        return this.#vanish();
      case "purge":
        return this.#purge();
      default:
        return this.#more();
    }
  }

  #more(): void {
    switch (this.#step.act) {
      case "join":
        return this.#target(["invite", "none", "leave", "knock"], (userId) => this.#member(userId, "join"));
      case "leave":
        return this.#target(["join"], (userId) => this.#member(userId, "leave"));
      case "kick":
        return this.#other(["join"], "leave");
      case "ban":
        return this.#other(["join", "invite", "none", "leave"], "ban");
      case "unban":
        return this.#other(["ban"], "leave");
      case "invite":
        return this.#other(["none", "leave", "knock"], "invite");
      case "reject":
        return this.#target(["invite", "knock"], (userId) => this.#member(userId, "leave"));
      case "retract":
        return this.#other(["invite"], "leave");
      case "knock":
        return this.#target(["none", "leave"], (userId) => this.#member(userId, "knock"));
      case "profile":
        return this.#target(["join"], (userId) => {
          const user = this.#hs.users.get(userId);
          if (user !== undefined) user.displayName = pick(["Ann", "Ben", `name ${this.#hs.pos}`], this.#step.n);
          this.#hs.setMember(this.#room.id, userId, "join", { avatar: `mxc://hs/u${this.#hs.pos}` });
        });
      default:
        return this.#data();
    }
  }

  #data(): void {
    const { n, who } = this.#step;
    const hs = this.#hs;
    const room = this.#room.id;
    const local = pick(
      [...hs.users.values()].filter(({ devices }) => devices.length > 0),
      who,
    );
    const isIn = this.#room.membership(local.id) === "join";
    const device = pick(local.devices, n);
    switch (this.#step.act) {
      case "tag":
        if (!isIn) return;
        return hs.setAccountData(local.id, room, "m.tag", {
          tags: n % 3 === 0 ? {} : { [pick(["u.x", "m.favourite"], n)]: {} },
        });
      case "direct": {
        const other = this.#room.members("join", "invite").find((userId) => userId !== local.id) ?? "@r1:remote";
        const known = hs.globalContent(local.id, "m.direct") as Record<string, string[]> | undefined;
        const rooms = new Set(known?.[other]);
        if (!rooms.delete(room)) rooms.add(room);
        return hs.setAccountData(local.id, "", "m.direct", { ...known, [other]: [...rooms] });
      }
      case "ignore": {
        const victim = pick(
          [...hs.users.keys()].filter((userId) => userId !== local.id),
          n,
        );
        return hs.ignore(local.id, n % 4 === 0 ? [] : [victim]);
      }
      case "account-data":
        return hs.setAccountData(local.id, isIn && n % 2 === 0 ? room : "", `org.example.${n % 2}`, { at: hs.pos });
      case "receipt": {
        const reader = pick(this.#room.members("join"), n) as string | undefined;
        const event = this.#room.log.at(-1 - (n % 5));
        if (reader === undefined || event === undefined) return;
        const isPrivate = n % 3 === 0;
        return hs.setReceipt(room, {
          userId: reader,
          eventId: event.id,
          threadId: n % 4 === 0 ? "main" : "",
          isPrivate,
        });
      }
      case "typing":
        return hs.setTyping(room, this.#room.members("join").slice(0, n % 3));
      case "to-device": {
        const inbox = hs.device(local.id, device).toDevice;
        const times = 1 + (n % 3);
        for (let at = 0; at < times; at += 1) inbox.push({ pos: hs.tick(), n: hs.pos, sender: "@r1:remote" });
        return;
      }
      case "device-list":
        hs.device(local.id, device).deviceLists.push({
          pos: hs.tick(),
          target: pick([...hs.users.keys()], n),
          change: n % 3 === 0 ? "left" : "changed",
        });
        return;
      case "keys":
        hs.device(local.id, device).otkCount = 50 + (hs.tick() % 20);
        hs.device(local.id, device).fallback = n % 2 === 0 ? [] : ["signed_curve25519"];
        return;
      case "counts":
        if (isIn) hs.setCounts(local.id, room, n % 3, n % 2);
        return;
      default:
        throw new Error(`nobody knows how to ${this.#step.act}`);
    }
  }

  #say(times: number): void {
    for (let at = 0; at < times; at += 1) {
      this.#by((sender) => {
        const devices = this.#hs.users.get(sender)?.devices ?? [];
        const device = pick(devices, this.#step.n) as string | undefined;
        const type = pick(TYPES, this.#step.n + at);
        const content = { body: `said ${this.#hs.pos}` };
        this.#hs.send(this.#room.id, sender, type, content, device === undefined ? {} : { device });
      });
    }
  }

  /** By somebody who is in the room. */
  #by(run: (sender: string) => void): void {
    const sender = pick(this.#room.members("join"), this.#step.who) as string | undefined;
    if (sender !== undefined) run(sender);
  }

  #state(type: string, content: Record<string, unknown>): void {
    this.#by((sender) => this.#hs.send(this.#room.id, sender, type, content, { stateKey: "" }));
  }

  #target(memberships: readonly string[], run: (userId: string) => void): void {
    const found = [...this.#hs.users.keys()].filter((userId) => memberships.includes(this.#room.membership(userId)));
    const userId = pick(found, this.#step.n) as string | undefined;
    if (userId !== undefined) run(userId);
  }

  #member(userId: string, membership: string): void {
    // A join that says it happened long ago, as over federation.
    const isRemote = this.#hs.users.get(userId)?.devices.length === 0;
    const isOld = isRemote && membership === "join" && this.#step.n % 7 === 6;
    this.#hs.setMember(this.#room.id, userId, membership, isOld ? { ts: LONG_AGO_MS + this.#hs.pos } : {});
  }

  /** What somebody in the room does to somebody else. */
  #other(memberships: readonly string[], to: string): void {
    this.#by((sender) =>
      this.#target(memberships, (userId) => {
        if (userId === sender) return;
        const isDirect = to === "invite" && this.#step.n % 3 === 0;
        this.#hs.setMember(this.#room.id, userId, to, { sender, isDirect });
      }),
    );
  }

  #redact(): void {
    const targets = this.#room.log.filter(
      ({ type, redactedBy }) =>
        redactedBy === null && ["m.room.message", "m.sticker", "m.room.name", "m.room.topic"].includes(type),
    );
    const target = targets.at(-1 - (this.#step.n % 4));
    if (target === undefined) return;
    this.#by((sender) => {
      const content = { redacts: target.id };
      this.#hs.send(this.#room.id, sender, "m.room.redaction", content, { redacts: target.id });
    });
  }

  #upgrade(): void {
    if (this.#hs.rooms.size >= MAX_ROOMS || this.#room.get("m.room.tombstone") !== null) return;
    this.#by((sender) => {
      const id = `!r${this.#hs.rooms.size}`;
      this.#hs.createRoom(id, sender, { predecessor: { room_id: this.#room.id } });
      this.#hs.send(this.#room.id, sender, "m.room.tombstone", { replacement_room: id }, { stateKey: "" });
      for (const [index, userId] of this.#room.members("join").entries()) {
        if (userId !== sender && (index + this.#step.n) % 3 !== 0) {
          this.#hs.setMember(id, userId, (index + this.#step.n) % 3 === 1 ? "join" : "invite", {
            sender: (index + this.#step.n) % 3 === 1 ? userId : sender,
          });
        }
      }
    });
  }

  /** State resolution brings an earlier name back. */
  #fallBack(): void {
    const current = this.#room.get("m.room.name");
    const earlier = current?.replaced ?? null;
    if (current === null || earlier === null || earlier.redactedBy !== null) return;
    this.#hs.resetState(this.#room.id, "m.room.name", "", earlier);
  }

  /** A member of another homeserver is gone, and no event says so. */
  #vanish(): void {
    if (!this.#hs.heals) return;
    const remote = this.#room.members("join").filter((userId) => this.#hs.users.get(userId)?.devices.length === 0);
    const victim = pick(remote, this.#step.n) as string | undefined;
    if (victim !== undefined) this.#hs.resetState(this.#room.id, "m.room.member", victim, null);
  }

  /** Not where somebody of ours was invited: what becomes of invites then is in nothing that can be read. */
  #purge(): void {
    if (!this.#hs.heals || this.#hs.rooms.size <= 2) return;
    const { id } = this.#room;
    const wasInvitedTo = [...this.#hs.users.values()].some(
      (user) => user.devices.length > 0 && this.#hs.strippedOf(id, user.id).length > 0,
    );
    if (!wasInvitedTo) this.#hs.purge(id);
  }

  #child(): void {
    const spaces = [...this.#hs.rooms.values()].filter((room) => room.content("m.room.create")["type"] === "m.space");
    const space = pick(spaces, this.#step.n) as ModelRoom | undefined;
    if (space === undefined || space === this.#room) return;
    const sender = pick(space.members("join"), this.#step.who) as string | undefined;
    if (sender === undefined) return;
    const content = this.#step.n % 3 === 0 ? {} : { via: ["hs"] };
    this.#hs.send(space.id, sender, "m.space.child", content, { stateKey: this.#room.id });
  }

  #create(): void {
    if (this.#hs.rooms.size >= MAX_ROOMS) return;
    const users = [...this.#hs.users.keys()];
    const id = `!r${this.#hs.rooms.size}`;
    const creator = pick(users, this.#step.who);
    this.#hs.createRoom(id, creator, this.#step.n % 4 === 0 ? { type: "m.space" } : {});
    const visibility = pick([null, "joined", "shared", null], this.#step.n);
    if (visibility !== null)
      this.#hs.send(id, creator, "m.room.history_visibility", { history_visibility: visibility }, { stateKey: "" });
    const guest = pick(users, this.#step.n);
    if (guest === creator) return;
    const isInvite = this.#step.n % 2 === 0;
    this.#hs.setMember(id, guest, isInvite ? "invite" : "join", isInvite ? { sender: creator, isDirect: true } : {});
  }
}

/** Some element, whatever the number; undefined only of an empty array. */
function pick<T>(from: readonly T[], n: number): T {
  return from[n % Math.max(1, from.length)] as T;
}
