import type { Membership } from "./events.ts";
import type { RoomId, RoomNid, StreamPos, UserId } from "./ids.ts";

/** A member used to name a room without a name. Shared by all viewers, so it may contain the viewer (M9). */
export interface Hero {
  userId: string;
  /** null = not set. */
  displayName: string | null;
  avatarUrl: string | null;
  membership: Membership;
}

/** What everybody in the room agrees on. Written by ingest alone, in stream order; stored as one JSON text. */
export interface RoomMeta {
  nid: RoomNid;
  roomId: RoomId;
  /** Non-empty `m.room.name`; null = unset. */
  name: string | null;
  /** `m.room.avatar` url; null = unset. */
  avatar: string | null;
  /** `m.room.canonical_alias` alias; null = unset. */
  alias: string | null;
  isEncrypted: boolean;
  /** The event that says that it is encrypted does not say how: no `algorithm`. */
  lacksAlgorithm: boolean;
  /** `m.room.create` type; null = an ordinary room. */
  roomType: string | null;
  roomVersion: string;
  /** Tombstone's replacement room. */
  successor: string | null;
  /** Create event's predecessor room. */
  predecessor: string | null;
  /**
   * Where `m.room.history_visibility` began to say `shared` or `world_readable`: every event from there on is for later members too.
   * null = it does not say so now, or never said anything, or it is not sure.
   */
  sharedSince: StreamPos | null;
  joinedCount: number;
  invitedCount: number;
  /** Up to HERO_LIMIT joined or invited members in order of their membership event; then left ones if none is. */
  heroes: Hero[];
  /** The first HERO_LIMIT of those who left and stay away, in the same order: the room is named after them when nobody else is left. */
  leavers: Hero[];
  /** For spaces: room ids of `m.space.child` with a non-empty `via`. Empty for other rooms. */
  spaceChildren: string[];
  /** Position and `origin_server_ts` of the newest timeline event (of the state block when there is none). */
  latestPos: StreamPos;
  latestTs: number;
  /** Newest timeline event by type: [pos, ts]. Bounded to LATEST_TYPES_LIMIT types, oldest dropped. */
  latestByType: Record<string, [pos: StreamPos, ts: number]>;
  /** Redactions of events that are not stored (yet), oldest first. Bounded to AWAITED_REDACTIONS_LIMIT. */
  awaitedRedactions: [target: string, redactionId: string][];
  /** Where clients that held the room had to be sent it anew for the last time (a gap, state outside the timeline); 0 = never. */
  resetPos: StreamPos;
  /** The newest event with a gap before it: what other polls bring from in front of it fell into that gap. null = none. */
  gapEventId: string | null;
  /**
   * Events whose poll may have skipped what was before them (a gap; the join of who may not see it), and where they first were, oldest
   * first. What a poll that was answered before brings goes before them. Bounded to SEAMS_LIMIT.
   */
  seams: [eventId: string, pos: StreamPos][];
  /**
   * Users whose poller was told of a gap and of nothing behind it, oldest first: the gap is before what any of their pollers brings next, for
   * a device may begin where another one is. Where state of the gap was told, it is before what anybody brings next (EVERYBODY).
   * Bounded to OPEN_GAPS_LIMIT.
   */
  openGaps: string[];
  /**
   * The homeserver's token of behind a timeline event, the newest that has none before it: who pages back from there meets that event first.
   * Absent = there is none.
   */
  endToken?: [eventId: string, token: string];
  /** State that is no more, nothing having taken its place, and since when; oldest first. Bounded to VANISHED_LIMIT. */
  vanished: [type: string, stateKey: string, pos: StreamPos][];
  /** Of what vanished up to here the keys are not kept. */
  vanishedUpTo: StreamPos;
  /** When the last of its sticky events expires: a room without any is never looked at for them. Absent = it never had one. */
  stickyUntilMs?: number;
  /** When the room was last bumped, in ms: later with each bump, whatever clocks say. Absent = never, or stored before it was kept. */
  bumpTs?: number;
}

/** Five heroes are shown; one more is kept because the viewer may be among them. */
export const HERO_LIMIT = 6;
/** Bounds `latestByType`: a room with thousands of custom types must not grow its metadata. */
export const LATEST_TYPES_LIMIT = 64;

/** Bounds `seams`: polls overtake each other within moments. */
export const SEAMS_LIMIT = 4;

/** Bounds `openGaps`: a homeserver leaves a whole timeline out where its user ignores all who spoke, say. */
export const OPEN_GAPS_LIMIT = 16;

/** Stands in `openGaps` for all users. */
export const EVERYBODY = "";

/** Bounds `vanished`: clients that were told of the room before more than this are sent it anew. */
export const VANISHED_LIMIT = 64;

/** Bounds `awaitedRedactions`: most name events from before our time, which never come. */
export const AWAITED_REDACTIONS_LIMIT = 16;

/** One user's standing in one room. Written by ingest for users that have a device with us. */
export interface UserRoom<B = Uint8Array> {
  userId: UserId;
  nid: RoomNid;
  membership: Membership;
  /** Position of the latest membership change; orders invites, knocks and leaves. */
  memberPos: StreamPos;
  /** Sender of the latest membership event; differs from `userId` for kicks, bans and retracted invites. */
  memberSender: string;
  /** First visible position of the latest stay: the own join. 0 = never joined. */
  joinPos: StreamPos;
  /** `origin_server_ts` of the membership event: the join, invite or knock, or what ended it. */
  joinTs: number;
  /** Last visible position after a leave or ban (that event included); null while joined or never joined. */
  leftPos: StreamPos | null;
  /**
   * Stripped state of an invite or knock, a JSON array exactly as received. Of who is outside, the event that says so where it is in no
   * timeline that they may see: the end of an invite or knock, a ban of who was outside before, its end. null otherwise.
   */
  stripped: B | null;
  /** `is_direct` of the invite. */
  isDirect: boolean;
  notificationCount: number;
  highlightCount: number;
  /** Position of the latest change of this row. */
  pos: StreamPos;
}
