import type { RoomNid, StreamPos } from "../ids.ts";
import type { Engine } from "./engine-api.ts";
import type { HeldRooms } from "./held-room.ts";

/** What dialects that remember rooms one by one differ in. */
export interface RememberingOptions {
  /** Whether every window is told whole, or only how long lists are. */
  tellsWindows: boolean;
  /** A room that was left stays in its lists as long as the connection remembers it. */
  keepsSelfLeft: boolean;
  /** Rooms that the user was banned from without ever having had to do with them are in no list. */
  hidesStrangers: boolean;
  /** Entries say which lists hold the room and what the user's membership is, and tell when something is gone. */
  tellsAll: boolean;
}

/** An engine that remembers of every room how far its client has it. */
export interface Remembering extends Engine {
  readonly options: RememberingOptions;
  readonly held: HeldRooms;
  /** Events after this are live for the client: where it was when it asked. */
  readonly liveAfter: StreamPos;
  /** Extensions that were asked for under another name than their own. */
  readonly extensionNames: Readonly<Record<string, string>>;
  /** Keys of the lists that hold the room. */
  listKeys(nid: RoomNid): string[];
  /** Rooms that the client looks at: subscriptions, and the first so many of each window. */
  foremost(count: number): Set<RoomNid>;
}
