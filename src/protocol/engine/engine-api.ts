import type { RoomNid, StreamPos, UserId } from "../ids.ts";
import type { SyncRequest } from "../request.ts";
import type { StateSelection } from "../required-state.ts";
import type { RoomConfig, StickyParams } from "../sticky.ts";
import type { Draft, ExtensionName } from "./draft.ts";
import type { Entries } from "./entries-api.ts";
import type { DeviceData, ExtensionNeeds, ExtensionsBody, SentRooms } from "./extensions-body.ts";
import type { CursorSnapshot } from "./proof.ts";
import type { RoomData } from "./room-data.ts";
import type { RoomHead } from "./room-facts.ts";
import type { World } from "./world.ts";

/** What a `pos` of before says of a connection that is taken up again. */
export interface RestoreClaim {
  seq: number;
  streamPos: StreamPos;
  generation: number;
  behind: readonly RoomNid[];
  /** False when what counted with that response was first looked at for a later one. */
  areParamsServed: boolean;
}

/** One connection's memory of its client, and the decisions made from it, whatever its dialect remembers. */
export interface Engine {
  readonly params: StickyParams;
  /** Everything in view up to here is in responses already made. */
  readonly streamPos: StreamPos;
  readonly generation: number;
  /** Another one whenever what is written down of the rooms proves less than could be proven. */
  readonly version: number;
  /** So little has to be written down that it can be before a response with new rooms leaves, and not behind it. */
  readonly isSoonWritten: boolean;
  readonly isFirst: boolean;
  readonly isDirty: boolean;
  readonly hasUnheardExtensions: boolean;
  /** Rooms that are not complete up to `streamPos`. */
  readonly behind: RoomNid[];
  restore(world: World, params: StickyParams, snapshot: CursorSnapshot, claim: RestoreClaim): void;
  /** Goes on from a position of a connection that has nothing to remember: where it is, and which extensions have begun. */
  begin(streamPos: StreamPos, extensions: readonly ExtensionName[]): void;
  snapshot(): CursorSnapshot;
  markDirty(nid: RoomNid, bits: number): void;
  markUserDirty(bits: number): void;
  takeUpcoming(): [RoomNid, RoomConfig][];
  compile(requiredState: RoomConfig["requiredState"], userId: UserId): StateSelection;
  /** Returns true when parameters changed. */
  applyRequest(world: World, request: SyncRequest): boolean;
  collect(world: World, upTo: StreamPos): Draft;
  /** The draft became response `seq`. */
  noteSent(draft: Draft, seq: number, heads: ReadonlyMap<RoomNid, RoomHead>): void;
  /** The draft had nothing to say and is in no response: that was looked at is remembered, as of response `seq` to come. */
  noteUnsaid(draft: Draft, seq: number, heads: ReadonlyMap<RoomNid, RoomHead>): void;
  /** The client has all that was sent: nothing of it will be taken back. */
  acknowledged(): void;
  /** What was sent since the last acknowledgement never arrived: all is as it was then. */
  takeBack(world: World): void;
  makeEntries(world: World, draft: Draft, data: RoomData): Entries;
  /** Which rooms' receipts and account data have to be in memory before `buildExtensions`. */
  extensionNeeds(world: World, draft: Draft): ExtensionNeeds;
  buildExtensions(
    world: World,
    draft: Draft,
    data: RoomData,
    device: DeviceData | null,
    sent: SentRooms,
  ): ExtensionsBody;
  lists(): Draft["lists"];
  extensionSince(name: ExtensionName): number | null;
  isVisible(nid: RoomNid): boolean;
  visibleRooms(): Set<RoomNid>;
  configOf(nid: RoomNid): RoomConfig;
  inScope(name: "account_data" | "receipts" | "typing", nid: RoomNid, roomId: string): boolean;
}
