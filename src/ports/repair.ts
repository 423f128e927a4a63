import type { DeviceId, RoomId, RoomNid, UserId } from "#src/protocol/ids.ts";

/** What an operator can have compared with the homeserver; `target` is the room or the user, "" for all. */
export interface RepairTarget {
  kind: "room" | "user" | "all";
  target: string;
}

/** How far a repair that an operator asked for has come. */
export interface RepairProgress {
  /** Rooms to look at; 0 until that is known. */
  total: number;
  done: number;
  /** Of those, the ones that could not be compared. */
  failed: number;
  isEnded: boolean;
}

/** A repair that is not done yet; `cursor` is the highest room number that is. */
export interface RepairRequest extends RepairTarget, Omit<RepairProgress, "isEnded"> {
  id: number;
  cursor: number;
}

/** A device that we have a token of. */
export interface RepairReader {
  userId: UserId;
  deviceId: DeviceId;
}

/** The database as repairs need it. */
export interface RepairStore {
  /** Devices with a token whose user is in the room, the one used last first. */
  readersOf(roomId: RoomId, limit: number): Promise<RepairReader[]>;
  /** The device of a user whose token was used last; null when there is no token. */
  readerFor(userId: UserId): Promise<RepairReader | null>;
  /** The user after `userId`, in order of ids, with a token used since; null after the last. */
  nextUser(userId: string, sinceMs: number): Promise<RepairReader | null>;
  countUsers(sinceMs: number): Promise<number>;
  /** The rooms that we think the user is in. */
  joinedRooms(userId: UserId): Promise<RoomId[]>;
  /** Rooms with a user of ours inside and a number above `after`, in order of it. */
  roomsAfter(after: number, limit: number): Promise<{ nid: RoomNid; roomId: RoomId }[]>;
  countRooms(): Promise<number>;
  /** Keeps a request for the server that runs on this database; its id. */
  ask(target: RepairTarget, nowMs: number): Promise<number>;
  /** Null when there is no such request, or it is so old that it was forgotten. */
  progress(id: number): Promise<RepairProgress | null>;
  /** Calls back when somebody has asked; false when that will not be heard of here. */
  watch(onAsked: () => void): Promise<boolean>;
  /** The oldest request that is not done. */
  nextRequest(): Promise<RepairRequest | null>;
  /** `endedMs` is null while it goes on. */
  saveRequest(request: RepairRequest, endedMs: number | null): Promise<void>;
}
