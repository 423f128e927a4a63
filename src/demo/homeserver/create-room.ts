import type { Account } from "./accounts.ts";
import type { Memberships } from "./membership.ts";
import type { NewEvent, RoomEntry, Rooms, World } from "./rooms.ts";
import { asJson, asString, asStrings, isJson, type Json } from "./wire.ts";

/** Body of `POST /createRoom`, plus what only tests and the demonstration can say. */
export interface CreateRoomOptions {
  name?: string;
  topic?: string;
  invite?: readonly string[];
  is_direct?: boolean;
  preset?: "private_chat" | "public_chat" | "trusted_private_chat";
  visibility?: "public" | "private";
  initial_state?: readonly { type: string; state_key?: string; content: Json }[];
  creation_content?: Json;
  power_level_content_override?: Json;
  room_alias_name?: string;
  room_version?: string;
  /** Not on the wire: the room ID to use. */
  roomId?: string;
  /** Not on the wire: `origin_server_ts` of the room's first events. */
  ts?: number;
}

/** Reads a request body leniently. */
export function readCreateRoom(body: Json): CreateRoomOptions {
  const visibility = body["visibility"] === "public" ? "public" : "private";
  const fallback = visibility === "public" ? "public_chat" : "private_chat";
  const preset = asString(body["preset"]);
  const optional = (key: string): Json => (asString(body[key]) === undefined ? {} : { [key]: body[key] });
  return {
    ...optional("name"),
    ...optional("topic"),
    ...optional("room_alias_name"),
    ...optional("room_version"),
    invite: asStrings(body["invite"]),
    is_direct: body["is_direct"] === true,
    visibility,
    preset: preset === "public_chat" || preset === "trusted_private_chat" ? preset : fallback,
    creation_content: asJson(body["creation_content"]),
    power_level_content_override: asJson(body["power_level_content_override"]),
    initial_state: (Array.isArray(body["initial_state"]) ? body["initial_state"] : []).filter(isJson).map((event) => ({
      type: asString(event["type"]) ?? "",
      state_key: asString(event["state_key"]) ?? "",
      content: asJson(event["content"]),
    })),
  };
}

function powerLevels(creator: string, options: CreateRoomOptions): Json {
  const peers = options.preset === "trusted_private_chat" ? (options.invite ?? []) : [];
  return {
    users: Object.fromEntries([creator, ...peers].map((userId) => [userId, 100])),
    users_default: 0,
    events: {
      "m.room.name": 50,
      "m.room.power_levels": 100,
      "m.room.history_visibility": 100,
      "m.room.encryption": 100,
      "m.room.tombstone": 100,
    },
    events_default: 0,
    state_default: 50,
    ban: 50,
    kick: 50,
    redact: 50,
    invite: 0,
    ...options.power_level_content_override,
  };
}

/** The state a new room starts with, in the order a homeserver sends it; later entries replace earlier ones. */
function initialState(creator: string, alias: string | null, options: CreateRoomOptions): Map<string, NewEvent> {
  const events = new Map<string, NewEvent>();
  const put = (type: string, content: Json, stateKey = ""): void => {
    events.set(`${type}\0${stateKey}`, { sender: creator, type, stateKey, content });
  };
  put("m.room.power_levels", powerLevels(creator, options));
  if (alias !== null) put("m.room.canonical_alias", { alias });
  const isPublic = options.preset === "public_chat";
  put("m.room.join_rules", { join_rule: isPublic ? "public" : "invite" });
  put("m.room.history_visibility", { history_visibility: "shared" });
  put("m.room.guest_access", { guest_access: isPublic ? "forbidden" : "can_join" });
  for (const event of options.initial_state ?? []) put(event.type, event.content, event.state_key ?? "");
  if (options.name !== undefined) put("m.room.name", { name: options.name });
  if (options.topic !== undefined) put("m.room.topic", { topic: options.topic });
  return events;
}

/** Makes a room with its first state and its invites. */
export function createRoom(
  deps: { world: World; rooms: Rooms; memberships: Memberships },
  creator: Account,
  options: CreateRoomOptions,
): RoomEntry {
  const { world, rooms, memberships } = deps;
  const { userId } = creator;
  const roomId = options.roomId ?? world.ids.roomId();
  const alias = options.room_alias_name === undefined ? null : `#${options.room_alias_name}:${world.ids.serverName}`;
  if (alias !== null) rooms.setAlias(alias, roomId);
  const entry = rooms.add(roomId, options.visibility === "public");
  const dated = options.ts === undefined ? {} : { ts: options.ts };
  const append = (event: NewEvent): unknown => rooms.append(entry, { ...dated, ...event });
  append({
    sender: userId,
    type: "m.room.create",
    stateKey: "",
    content: { ...options.creation_content, room_version: options.room_version ?? "11" },
  });
  append({
    sender: userId,
    type: "m.room.member",
    stateKey: userId,
    content: rooms.memberContent(userId, "join"),
  });
  for (const event of initialState(userId, alias, options).values()) append(event);
  for (const target of options.invite ?? []) {
    memberships.invite(roomId, userId, target, { isDirect: options.is_direct, ...dated });
  }
  return entry;
}
