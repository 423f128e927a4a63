import type { Account } from "./accounts.ts";
import { requireJoined, requireMorePower, requirePower } from "./power.ts";
import { membershipOf, type StoredEvent } from "./room.ts";
import type { RoomEntry, Rooms } from "./rooms.ts";
import { forbidden, type Json, MatrixError } from "./wire.ts";

/** Options of a membership change. */
export interface MembershipOptions {
  reason?: string | undefined;
  ts?: number | undefined;
  isDirect?: boolean | undefined;
}

function extraContent(options: MembershipOptions): Json {
  return {
    ...(options.reason === undefined ? {} : { reason: options.reason }),
    ...(options.isDirect === true ? { is_direct: true } : {}),
  };
}

/** Joining, leaving, inviting and being thrown out, with the checks a homeserver makes. */
export class Memberships {
  readonly #rooms: Rooms;

  constructor(rooms: Rooms) {
    this.#rooms = rooms;
  }

  #set(entry: RoomEntry, sender: string, target: string, membership: string, options: MembershipOptions): StoredEvent {
    const content =
      membership === "leave" || membership === "ban"
        ? { membership, ...extraContent(options) }
        : this.#rooms.memberContent(target, membership, extraContent(options));
    return this.#rooms.append(entry, {
      sender,
      type: "m.room.member",
      stateKey: target,
      content,
      ...(options.ts === undefined ? {} : { ts: options.ts }),
    });
  }

  join(roomId: string, userId: string, options: MembershipOptions = {}): void {
    const entry = this.#rooms.get(roomId);
    const membership = entry.room.membership(userId);
    if (membership === "join") return;
    if (membership === "ban") throw forbidden("You are banned from this room");
    const isPublic = entry.room.stateString("m.room.join_rules", "join_rule") === "public";
    if (!isPublic && membership !== "invite") throw forbidden("You are not invited to this room.");
    this.#set(entry, userId, userId, "join", options);
  }

  knock(roomId: string, userId: string, options: MembershipOptions = {}): void {
    const entry = this.#rooms.get(roomId);
    const membership = entry.room.membership(userId);
    const rule = entry.room.stateString("m.room.join_rules", "join_rule");
    if (membership !== "leave" || rule !== "knock") throw forbidden("You are not allowed to knock on this room");
    this.#set(entry, userId, userId, "knock", options);
  }

  invite(roomId: string, sender: string, target: string, options: MembershipOptions = {}): void {
    const entry = this.#rooms.get(roomId);
    requirePower(entry.room, sender, "invite");
    const membership = entry.room.membership(target);
    if (membership === "ban" || membership === "join") {
      throw forbidden(`${target} is ${membership === "ban" ? "banned from" : "already in"} the room`);
    }
    this.#set(entry, sender, target, "invite", options);
  }

  /** Leaves, or rejects an invite, or takes a knock back. */
  leave(roomId: string, userId: string, options: MembershipOptions = {}): void {
    const entry = this.#rooms.get(roomId);
    const membership = entry.room.membership(userId);
    if (membership === "leave" || membership === "ban") throw forbidden(`User ${userId} not in room ${roomId}`);
    this.#set(entry, userId, userId, "leave", options);
  }

  kick(roomId: string, sender: string, target: string, options: MembershipOptions = {}): void {
    const entry = this.#rooms.get(roomId);
    requirePower(entry.room, sender, "kick");
    requireMorePower(entry.room, sender, target);
    const membership = entry.room.membership(target);
    if (membership === "leave" || membership === "ban") throw forbidden(`${target} is not in the room`);
    this.#set(entry, sender, target, "leave", options);
  }

  ban(roomId: string, sender: string, target: string, options: MembershipOptions = {}): void {
    const entry = this.#rooms.get(roomId);
    requirePower(entry.room, sender, "ban");
    requireMorePower(entry.room, sender, target);
    this.#set(entry, sender, target, "ban", options);
  }

  unban(roomId: string, sender: string, target: string, options: MembershipOptions = {}): void {
    const entry = this.#rooms.get(roomId);
    requirePower(entry.room, sender, "ban");
    if (entry.room.membership(target) !== "ban") throw forbidden(`${target} is not banned`);
    this.#set(entry, sender, target, "leave", options);
  }

  /** Hides a left room from the user's own view. */
  forget(roomId: string, account: Account): void {
    this.#rooms.get(roomId);
    const standing = account.standings.get(roomId);
    if (standing === undefined || !["leave", "ban"].includes(membershipOf(standing.member))) {
      throw new MatrixError(400, "M_UNKNOWN", `User ${account.userId} is in room ${roomId}`);
    }
    account.standings.set(roomId, { member: standing.member, isForgotten: true });
  }

  /** Writes a changed profile into every room the user is joined to. */
  spreadProfile(account: Account): void {
    for (const entry of this.#rooms.joinedRooms(account)) {
      requireJoined(entry.room, account.userId);
      this.#set(entry, account.userId, account.userId, "join", {});
    }
  }
}
