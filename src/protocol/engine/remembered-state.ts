import type { StoredEvent } from "../events.ts";
import type { StateSelection, StateTuple } from "../required-state.ts";
import { alternatives, compileSimplifiedState } from "../simplified-state.ts";
import { eventBytes } from "./event-bytes.ts";
import { hasNews, type Making, showsState, type Work } from "./remembered-work.ts";
import { firstAfter } from "./timeline.ts";

const NOTHING: readonly StoredEvent[] = [];
const encoder = new TextEncoder();

/** Current state that changed since the client's position, the latest of each key. */
export function changesOf(making: Making, { room, standing, upTo }: Work): readonly StoredEvent[] {
  if (room.kind === "initial" || !showsState(standing) || !hasNews(making, room)) return NOTHING;
  const stored = making.data.changes(room.nid);
  if (stored !== null) return stored.filter(({ pos }) => pos > room.since && pos <= upTo);
  const { events } = making.data.tail(room.nid);
  const changes = new Map<string, StoredEvent>();
  for (const event of events.slice(firstAfter(events, room.since), firstAfter(events, upTo))) {
    if (event.stateKey !== null) changes.set(`${event.type}\0${event.stateKey}`, event);
  }
  return changes.size === 0 ? NOTHING : [...changes.values()];
}

/** Members that are sent because they appear, and what the client then knows of members. */
export function chooseMembers(making: Making, work: Work): void {
  const { room, selection, changes, cut, standing } = work;
  const isInitial = room.kind === "initial";
  const before = isInitial ? new Set<string>() : work.known;
  const changed = new Set<string>();
  for (const { type, stateKey } of changes) if (type === "m.room.member" && stateKey !== null) changed.add(stateKey);
  if (!selection.lazyMembers || !showsState(standing)) {
    // What changed unsent is not known any more.
    if ([...changed].some((userId) => before.has(userId))) {
      work.known = new Set([...before].filter((userId) => !changed.has(userId)));
    } else if (isInitial) work.known = before;
    return;
  }
  const wanted = new Set<string>();
  for (const { sender, type, stateKey } of cut?.events ?? []) {
    wanted.add(sender);
    if (type === "m.room.member" && stateKey !== null) wanted.add(stateKey);
  }
  if (!isInitial && cut?.isLimited !== true) for (const userId of changed) wanted.add(userId);
  // Those that were asked for by name are with the client as well.
  const named = isInitial ? null : making.engine.compile(room.held?.requiredState ?? [], making.world.userId);
  const isKnown = (userId: string): boolean => before.has(userId) || named?.matches("m.room.member", userId) === true;
  const news = [...wanted].filter((userId) => changed.has(userId) || !isKnown(userId));
  work.members = new Set(news);
  const missed = [...changed].filter((userId) => before.has(userId) && !wanted.has(userId));
  if (news.length === 0 && missed.length === 0 && !isInitial) return;
  work.known = new Set([...before, ...news].filter((userId) => !missed.includes(userId)));
}

/** State that is sent, as bytes. */
export function requiredStateOf(making: Making, work: Work): Uint8Array[] {
  const { room, selection, changes, members, standing, upTo } = work;
  const found = new Map<string, StoredEvent>();
  const add = (event: StoredEvent): void => void found.set(`${event.type}\0${event.stateKey ?? ""}`, event);
  if (!showsState(standing)) {
    // What is known of the room is from others: only the own member event is for who was never inside.
  } else if (room.kind === "initial") for (const event of making.data.state(room.nid, selection)) add(event);
  else if (room.isGrown === true) {
    const recorded = making.engine.compile(room.held?.requiredState ?? [], making.world.userId);
    for (const event of making.data.state(room.nid, selection)) {
      const isKnown =
        recorded.matches(event.type, event.stateKey ?? "") ||
        (event.type === "m.room.member" && room.held?.lazyMembers.has(event.stateKey ?? "") === true);
      if (!isKnown) add(event);
    }
  }
  for (const event of changes) {
    if (selection.matches(event.type, event.stateKey ?? "")) add(event);
    else noteForgotten(making, work, event);
  }
  for (const userId of members) {
    const member = making.data.member(room.nid, userId);
    if (member !== null) add(member);
  }
  const stubs = stubsOf(making, work);
  let events = [...found.values()];
  if (standing.membership !== "join") {
    // What the room has become since is not for who left it.
    events = events.filter(({ pos }) => pos <= upTo);
    const isOwnWanted = selection.matches("m.room.member", making.world.userId);
    const hasMore = events.length > 0 || work.cut !== null || standing.memberPos > room.since;
    if (isOwnWanted && hasMore) return withOwnMember(making, work, events);
  }
  return [
    ...stubs,
    ...eventBytes(
      making.world,
      making.data,
      events.sort((a, b) => a.pos - b.pos),
    ),
  ];
}

/** State that the client may have and that is no more, where it can be told so. */
function stubsOf(making: Making, work: Work): Uint8Array[] {
  const { room, selection, standing, upTo } = work;
  if (!making.engine.options.tellsAll || room.kind === "initial" || standing.membership !== "join") return [];
  const gone = (making.world.meta(room.nid)?.vanished ?? []).filter(
    ([type, stateKey, pos]) =>
      pos > room.since &&
      pos <= upTo &&
      (selection.matches(type, stateKey) || (type === "m.room.member" && work.known.has(stateKey))),
  );
  const members = new Set(gone.flatMap(([type, stateKey]) => (type === "m.room.member" ? [stateKey] : [])));
  if (members.size > 0) work.known = work.known.difference(members);
  return gone.map(([type, stateKey]) => encoder.encode(JSON.stringify({ type, state_key: stateKey })));
}

/** Clients learn from the user's own member event that the room was left. */
function withOwnMember(making: Making, { room, standing }: Work, events: StoredEvent[]): Uint8Array[] {
  const own = making.data.member(room.nid, making.world.userId);
  const isOwn = (event: StoredEvent): boolean =>
    event.type === "m.room.member" && event.stateKey === making.world.userId;
  const others = events.filter((event) => !isOwn(event)).sort((a, b) => a.pos - b.pos);
  // Where something came of who was outside already, the room does not know of it.
  if (standing.stripped !== null) return [...eventBytes(making.world, making.data, others), standing.stripped];
  return eventBytes(making.world, making.data, own?.membership === standing.membership ? [...others, own] : others);
}

/** What the client was sent once changed without its being told: it is sent again when it is asked for again. */
function noteForgotten(making: Making, { room }: Work, { type, stateKey }: StoredEvent): void {
  const recorded = room.held?.requiredState;
  if (recorded === undefined) return;
  if (!making.engine.compile(recorded, making.world.userId).matches(type, stateKey ?? "")) return;
  const current = making.draft.rooms.get(room.nid) ?? room;
  const forgotten = alternatives(recorded)
    .filter((one) => compiled(making, one).matches(type, stateKey ?? ""))
    .flatMap((one) => one.filter((entry) => compiled(making, [entry]).matches(type, stateKey ?? "")));
  making.draft.rooms.set(room.nid, {
    ...current,
    forgetsState: new Set([...(current.forgetsState ?? []), ...forgotten]),
  });
}

function compiled(making: Making, entries: readonly StateTuple[]): StateSelection {
  return compileSimplifiedState(entries, making.world.userId);
}
