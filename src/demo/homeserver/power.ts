import type { Room } from "./room.ts";
import { asJson, asNumber, forbidden, type Json } from "./wire.ts";

/** Actions with a power level of their own in `m.room.power_levels`. */
export type PowerAction = "ban" | "kick" | "invite" | "redact";

const ACTION_DEFAULTS: Readonly<Record<PowerAction, number>> = { ban: 50, kick: 50, invite: 0, redact: 50 };

function levels(room: Room): Json {
  return asJson(room.state("m.room.power_levels", "")?.event.content);
}

/** Power level of a user in a room. */
function powerOf(room: Room, userId: string): number {
  const content = levels(room);
  return asNumber(asJson(content["users"])[userId], asNumber(content["users_default"], 0));
}

/** Throws unless `userId` is joined. */
export function requireJoined(room: Room, userId: string): void {
  if (room.membership(userId) !== "join") throw forbidden(`User ${userId} not in room ${room.roomId}`);
}

/** Throws unless `userId` is joined and may do `action`. */
export function requirePower(room: Room, userId: string, action: PowerAction): void {
  requireJoined(room, userId);
  if (powerOf(room, userId) < asNumber(levels(room)[action], ACTION_DEFAULTS[action])) {
    throw forbidden(`You don't have permission to ${action}`);
  }
}

/** Throws unless `userId` has more power than `target`. */
export function requireMorePower(room: Room, userId: string, target: string): void {
  if (powerOf(room, userId) <= powerOf(room, target))
    throw forbidden("You cannot act on a user of equal or more power");
}

/** Throws unless `userId` is joined and may send events of this type. */
export function requireSend(room: Room, userId: string, type: string, isState: boolean): void {
  requireJoined(room, userId);
  const content = levels(room);
  const fallback = isState ? asNumber(content["state_default"], 50) : asNumber(content["events_default"], 0);
  if (powerOf(room, userId) < asNumber(asJson(content["events"])[type], fallback)) {
    throw forbidden(`You don't have permission to post ${type}`);
  }
}
