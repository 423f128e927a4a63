import type { EventFields, TypedJson } from "#src/protocol/events.ts";
import type { RoomId } from "#src/protocol/ids.ts";
import type { PolledJoin, PolledRoom, PolledStripped } from "#src/protocol/poll-batch.ts";
import type { EventReader } from "./event-fields.ts";
import { identifierFault } from "./event-fields.ts";
import { readEphemeral } from "./ephemeral-reader.ts";
import type { EventsMemo } from "./events-memo.ts";
import { findMember, membersAt, stringAt } from "./json-text.ts";
import type { RejectLog } from "./reject-log.ts";
import { eachEvent, eachListed, view } from "./sections.ts";
import { FAIL, byteAt, checkValue, isArrayAt, isObjectAt, skipValue } from "./slicer.ts";

/** State after the timeline (MSC4222), under its stable and its unstable name. */
const STATE_AFTER_NAMES = ["state_after", "org.matrix.msc4222.state_after"] as const;

/** Sticky events beside the timeline (MSC4354). */
const STICKY_NAME = "msc4354_sticky";

/** One room of a poll while it is read: its sections and where to note what is skipped. */
interface RoomScope {
  reader: EventReader;
  bytes: Buffer;
  roomId: RoomId;
  section: "join" | "leave" | "invite" | "knock";
  /** Where the members of the room's object start; `null` ones are left out. */
  members: ReadonlyMap<string, number>;
  end: number;
  rejects: RejectLog;
  memo: EventsMemo | null;
}

/** Reads one room of `rooms`; null (and an entry in `rejects`) when it is malformed as a whole. */
export function readRoom(
  reader: EventReader,
  bytes: Buffer,
  section: "join" | "leave" | "invite" | "knock",
  roomId: RoomId,
  at: number,
  end: number,
  rejects: RejectLog,
  memo: EventsMemo | null = null,
): PolledRoom | null {
  const { members, end: after } = membersAt(bytes, at, end);
  if (after !== end) {
    rejects.add(roomId, section, "malformed json", bytes, at, end);
    return null;
  }
  const scope: RoomScope = { reader, bytes, roomId, section, members, end, rejects, memo };
  return section === "invite" || section === "knock" ? readStripped(scope, section) : readFull(scope);
}

function readStripped(scope: RoomScope, kind: "invite" | "knock"): PolledStripped | null {
  const { bytes, roomId, end } = scope;
  const name = `${kind}_state`;
  const at = scope.members.get(name) ?? FAIL;
  const eventsAt = at === FAIL ? FAIL : findMember(bytes, at, end, "events");
  if (eventsAt === FAIL || byteAt(bytes, eventsAt, end) === 0x6e) {
    return { kind, roomId, stripped: new Uint8Array([0x5b, 0x5d]) };
  }
  const eventsEnd = checkValue(bytes, eventsAt, end);
  if (!isArrayAt(bytes, eventsAt, end) || eventsEnd === FAIL || !scope.reader.isText(eventsAt, eventsEnd)) {
    reject(scope, name, "malformed json", at);
    return null;
  }
  return { kind, roomId, stripped: view(bytes, eventsAt, eventsEnd) };
}

function readFull(scope: RoomScope): PolledRoom {
  const { reader, bytes, roomId, end, members, rejects } = scope;
  const afterName = STATE_AFTER_NAMES.find((name) => members.has(name));
  const timelineAt = members.get("timeline") ?? FAIL;
  const inTimeline = membersAt(bytes, timelineAt, end).members;
  const timeline = readEvents(scope, "timeline", timelineAt, inTimeline.get("events") ?? FAIL);
  const stateAt = members.get(afterName ?? "state") ?? FAIL;
  const stateEventsAt = stateAt === FAIL ? FAIL : findMember(bytes, stateAt, end, "events");
  const common = {
    roomId,
    state: readEvents(scope, afterName ?? "state", stateAt, stateEventsAt).events,
    isStateAfter: afterName !== undefined,
    timeline: timeline.events,
    limited: isTrue(bytes, inTimeline.get("limited"), end),
    // The token pages back from the raw first event: without that event it would leave a hole.
    prevBatch: timeline.first === "taken" ? tokenAt(bytes, inTimeline.get("prev_batch") ?? FAIL, end) : null,
    accountData: readAccountData(
      reader,
      bytes,
      members.get("account_data") ?? FAIL,
      roomId,
      `${scope.section}.account_data`,
      rejects,
    ),
  };
  if (scope.section === "leave") return { kind: "leave", ...common };
  const stickyAt = members.get(STICKY_NAME) ?? FAIL;
  const stickyEventsAt = stickyAt === FAIL ? FAIL : findMember(bytes, stickyAt, end, "events");
  const sticky = readEvents(scope, STICKY_NAME, stickyAt, stickyEventsAt).events;
  const join: PolledJoin = {
    kind: "join",
    ...common,
    ...(sticky.length === 0 ? {} : { sticky }),
    typing: null,
    receipts: [],
    notificationCount: null,
    highlightCount: null,
  };
  readEphemeral(reader, bytes, members.get("ephemeral") ?? FAIL, end, join, rejects);
  readUnread(bytes, members.get("unread_notifications") ?? FAIL, end, join);
  return join;
}

function tokenAt(bytes: Buffer, at: number, end: number): string | null {
  const token = stringAt(bytes, at, end);
  // Written by programs that have none to give: it leads nowhere, and would hide the next one.
  if (token === "") return null;
  return token === null || token.includes("\0") || !token.isWellFormed() ? null : token;
}

const isTrue = (bytes: Uint8Array, at: number | undefined, end: number): boolean =>
  at !== undefined && byteAt(bytes, at, end) === 0x74;

/** Fills the unread counts of `join`. */
function readUnread(bytes: Buffer, at: number, end: number, join: PolledJoin): void {
  if (at === FAIL) return;
  join.notificationCount = countAt(bytes, findMember(bytes, at, end, "notification_count"), end);
  join.highlightCount = countAt(bytes, findMember(bytes, at, end, "highlight_count"), end);
}

/** A count of at most 2^31-1; null when there is none. */
function countAt(bytes: Buffer, at: number, end: number): number | null {
  const c = at === FAIL ? FAIL : byteAt(bytes, at, end);
  if (c < 0x30 || c > 0x39) return null;
  const value = Number(bytes.toString("latin1", at, skipValue(bytes, at, end)));
  return Number.isFinite(value) ? Math.min(Math.trunc(value), 0x7f_ff_ff_ff) : null;
}

/** The events of the list at `eventsAt` in the section at `at`; `first` says what became of the first one. */
function readEvents(
  scope: RoomScope,
  name: string,
  at: number,
  eventsAt: number,
): { events: EventFields[]; first: "taken" | "refused" | "none" } {
  const { reader, bytes, end, memo } = scope;
  if (memo === null || eventsAt === FAIL || !reader.isUtf8) return readEventsAnew(scope, name, at, eventsAt);
  const eventsEnd = skipValue(bytes, eventsAt, end);
  if (eventsEnd === FAIL || !memo.takes(eventsEnd - eventsAt, bytes.length)) {
    return readEventsAnew(scope, name, at, eventsAt);
  }
  let anew: ReturnType<typeof readEventsAnew> | null = null;
  const known = memo.recall(bytes.subarray(eventsAt, eventsEnd), () => {
    const rejectCount = scope.rejects.count;
    anew = readEventsAnew(scope, name, at, eventsAt);
    const { events, first } = anew;
    // What is refused has to be told of each time.
    return scope.rejects.count === rejectCount && first !== "refused" ? { events, first } : null;
  });
  return anew ?? { events: [...(known?.events ?? [])], first: known?.first ?? "none" };
}

function readEventsAnew(
  scope: RoomScope,
  name: string,
  at: number,
  eventsAt: number,
): { events: EventFields[]; first: "taken" | "refused" | "none" } {
  const { reader, bytes, end } = scope;
  const events: EventFields[] = [];
  let first: "taken" | "refused" | "none" = "none";
  const refuse = (event: string, itemAt: number): void =>
    scope.rejects.add(scope.roomId, `${scope.section}.${name}`, event, bytes, itemAt, reader.end);
  const isWhole = eachListed(bytes, eventsAt, end, (itemAt) => {
    const event = reader.read(itemAt);
    const isRefused = typeof event === "string";
    if (first === "none") first = isRefused ? "refused" : "taken";
    if (!isRefused) events.push(event);
    else if (reader.end !== FAIL) refuse(event, itemAt);
    return reader.end;
  });
  if (at !== FAIL && !(isWhole && isObjectAt(bytes, at, end))) reject(scope, name, "malformed json", at);
  return { events, first };
}

/** Account data, global (`roomId` null) or of one room. */
export function readAccountData(
  reader: EventReader,
  bytes: Buffer,
  at: number,
  roomId: RoomId | null,
  section: string,
  rejects: RejectLog,
): TypedJson[] {
  const end = bytes.length;
  const items: TypedJson[] = [];
  const isWhole = eachEvent(bytes, at, end, (itemAt) => {
    const after = skipValue(bytes, itemAt, end);
    if (after === FAIL) return FAIL;
    const type = typedAt(reader, bytes, itemAt, after);
    if (type === null) rejects.add(roomId, section, "malformed event", bytes, itemAt, after);
    else items.push({ type, json: view(bytes, itemAt, after) });
    return after;
  });
  if (!isWhole) rejects.add(roomId, section, "malformed json", bytes, at, skipValue(bytes, at, end));
  return items;
}

/** The `type` of a well-formed object with a usable one. */
function typedAt(reader: EventReader, bytes: Buffer, at: number, end: number): string | null {
  if (!isObjectAt(bytes, at, end) || checkValue(bytes, at, end) !== end || !reader.isText(at, end)) return null;
  const type = stringAt(bytes, findMember(bytes, at, end, "type"), end);
  return type === null || identifierFault(type) !== null ? null : type;
}

function reject(scope: RoomScope, name: string, reason: string, at: number): void {
  const after = skipValue(scope.bytes, at, scope.end);
  scope.rejects.add(
    scope.roomId,
    `${scope.section}.${name}`,
    reason,
    scope.bytes,
    at,
    after === FAIL ? scope.end : after,
  );
}
