import type { ListWish, Outcome, WireAnswer, WireEvent, WireRoom, Wish } from "#test/support/simplified-connection.ts";

/** What an answer says, one fact an entry: where in the answer → what is there, as text. */
export type View = Map<string, string>;

/** What two servers may each choose freely, and is therefore left out of a view or put in a form of its own. */
export const NOT_COMPARED = [
  ["`pos`, `prev_batch`, `next_batch`", "tokens belong to the server that gives them; that they are there is compared"],
  ["`bump_stamp`", "any growing number will do; which room's is larger is compared"],
  [
    "`bump_stamp` of invites and knocks",
    "a classic sync does not tell when they were made; that they have one is compared",
  ],
  ["`unsigned.age`", "it grows while one looks"],
  ["`unsigned.msc4354_sticky_duration_ttl_ms`", "it shrinks while one looks; that it is there is compared"],
  ["`unsigned.membership`", "a classic sync carries it as of its own time"],
  ["`unsigned.transaction_id`", "it belongs to the sending device, and the two sides are two devices"],
  ["`notification_count`, `highlight_count`", "Synapse always says 0"],
  ["order within `required_state`, account data, receipts and typing", "they are sets"],
  ["order of a window `[0, n]` that holds its whole list", "Synapse does not sort it"],
] as const;

const STICKY_TTL = "msc4354_sticky_duration_ttl_ms";
const UNSIGNED = new Set(["prev_content", "prev_sender", "replaces_state", "redacted_because"]);

/** JSON with its members in one order. */
function canonical(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).sort(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}

/** Room → what was said of it: name, avatar, state, events. */
type Told = Map<string, Map<string, string>>;

const copied = (told: Told): Told => new Map([...told].map(([roomId, facts]) => [roomId, new Map(facts)]));

/** Turns the answers of one connection into views; it remembers what the connection was told before. */
export class Viewer {
  readonly #stamps = new Map<string, number>();
  readonly #invites = new Map<string, string>();
  /** Since the room came whole for the last time. */
  #told: Told = new Map();
  #toldBefore: Told = new Map();
  readonly #data = new Map<string, string>();
  #dataBefore: ReadonlyMap<string, string> = new Map();
  readonly #receipts = new Set<string>();
  #receiptsBefore: ReadonlySet<string> = new Set();
  readonly #typing = new Map<string, string>();
  #typingBefore: ReadonlyMap<string, string> = new Map();
  /** Whenever it was. */
  #ever: Told = new Map();
  #everBefore: Told = new Map();

  /** `isRetry`: the last answer is as if it had not been. */
  view(outcome: Outcome, wish: Wish, isRetry = false): View {
    const view: View = new Map([["status", outcome.errcode ?? String(outcome.status)]]);
    if (isRetry) [this.#told, this.#ever] = [copied(this.#toldBefore), copied(this.#everBefore)];
    if (outcome.answer === null) return view;
    const { lists, rooms, extensions } = outcome.answer;
    [this.#toldBefore, this.#everBefore] = [copied(this.#told), copied(this.#ever)];
    for (const [key, list] of Object.entries(lists ?? {})) viewList(view, key, list, wish.lists[key]);
    for (const [roomId, room] of Object.entries(rooms)) this.#viewRoom(view, roomId, room);
    viewExtensions(view, extensions);
    this.#typingBefore = new Map(this.#typing);
    this.#receiptsBefore = new Set(this.#receipts);
    this.#dataBefore = new Map(this.#data);
    for (const [path, text] of view) {
      const [, name, roomId] = path.split(" ");
      if (name === "typing" && roomId !== undefined) this.#typing.set(roomId, text);
      if (name === "receipts") this.#receipts.add(path);
      if (name === "account_data") this.#data.set(path, text);
    }
    return view;
  }

  /** What was said last of a fact (`rooms`, room, field and more) by all answers but the newest one. */
  toldBefore(path: string): string | null {
    const [, roomId = "", ...fact] = path.split(" ");
    return this.#toldBefore.get(roomId)?.get(fact.join(" ")) ?? null;
  }

  /** The same, also of what was said before the room came anew. */
  toldEver(path: string): string | null {
    const [, roomId = "", ...fact] = path.split(" ");
    return this.#everBefore.get(roomId)?.get(fact.join(" ")) ?? null;
  }

  /** Of an event: it was sent, whether in a timeline or as state. */
  hasEvent(roomId: string, eventId: string): boolean {
    const sign = `"event_id":"${eventId}"`;
    return [...(this.#toldBefore.get(roomId) ?? [])].some(([, text]) => text.includes(sign));
  }

  /** Rooms that the connection was told of. */
  get rooms(): Iterable<string> {
    return this.#everBefore.keys();
  }

  /** Account data as it was sent last. */
  data(path: string): string | null {
    return this.#dataBefore.get(path) ?? null;
  }

  /** A receipt was sent before. */
  hasReceipt(path: string): boolean {
    return this.#receiptsBefore.has(path);
  }

  /** Who was said to type in a room. */
  typing(roomId: string): string | null {
    return this.#typingBefore.get(roomId) ?? null;
  }

  /** The connection was told of the room. */
  knows(roomId: string): boolean {
    return this.#everBefore.has(roomId);
  }

  /** Rooms by their latest bump stamp, the latest first. */
  get bumpOrder(): string[] {
    return [...this.#stamps].sort(([, a], [, b]) => b - a).map(([roomId]) => roomId);
  }

  /** The latest bump stamp of a room. */
  stampOf(roomId: string): number {
    return this.#stamps.get(roomId) ?? 0;
  }

  #viewRoom(view: View, roomId: string, room: WireRoom): void {
    if (room.invite_state !== undefined) this.#stamps.delete(roomId);
    else if (room.bump_stamp !== undefined) this.#stamps.set(roomId, room.bump_stamp);
    const invite = room.invite_state === undefined ? undefined : canonical(room.invite_state);
    const isRepeated = invite !== undefined && room.initial !== true && invite === this.#invites.get(roomId);
    if (invite === undefined) this.#invites.delete(roomId);
    else this.#invites.set(roomId, invite);
    const at = `rooms ${roomId}`;
    view.set(at, isRepeated ? "an invite that was sent before" : "an entry");
    if (isRepeated) return;
    for (const [field, value] of Object.entries(room)) {
      if (field === "notification_count" || field === "highlight_count") continue;
      if (field === "bump_stamp" || field === "prev_batch") view.set(`${at} ${field}`, "given");
      else if (field === "timeline") viewTimeline(view, at, value as WireEvent[]);
      else if (field === "required_state" || field === "invite_state" || field === "knock_state") {
        for (const event of value as WireEvent[])
          view.set(`${at} ${field} ${event.type}|${event.state_key}`, eventText(event));
      } else view.set(`${at} ${field}`, canonical(value));
    }
    if (room.initial === true) this.#told.delete(roomId);
    const told = this.#told.get(roomId) ?? new Map<string, string>();
    this.#told.set(roomId, told);
    const ever = this.#ever.get(roomId) ?? new Map<string, string>();
    this.#ever.set(roomId, ever);
    for (const [path, text] of view) {
      const fact = path.slice(at.length + 1);
      if (!path.startsWith(`${at} `) || !/^(?:name|avatar|required_state|timeline )/.test(fact)) continue;
      told.set(fact, text);
      ever.set(fact, text);
    }
  }
}

function viewList(
  view: View,
  key: string,
  list: NonNullable<WireAnswer["lists"]>[string],
  wish: ListWish | undefined,
): void {
  view.set(`lists ${key} count`, String(list.count));
  const [range] = wish?.ranges ?? [];
  const isWhole = wish?.ranges?.length === 1 && range?.[0] === 0 && range[1] >= list.count - 1;
  for (const { op, range, room_ids: roomIds } of list.ops ?? [])
    view.set(`lists ${key} ${op} ${range.join("-")}`, canonical(isWhole ? roomIds.toSorted() : roomIds));
}

function viewTimeline(view: View, at: string, events: WireEvent[]): void {
  view.set(`${at} timeline`, canonical(events.map((event) => event.event_id)));
  for (const event of events) view.set(`${at} timeline ${event.event_id}`, eventText(event));
}

function eventText(event: WireEvent): string {
  const { unsigned, ...rest } = event;
  const kept = Object.entries(unsigned ?? {}).filter(([key]) => UNSIGNED.has(key));
  if (unsigned?.[STICKY_TTL] !== undefined) kept.push([STICKY_TTL, "given"]);
  const because = unsigned?.["redacted_because"] as WireEvent | undefined;
  return canonical({
    ...rest,
    unsigned: { ...Object.fromEntries(kept), ...(because === undefined ? {} : { redacted_because: because.event_id }) },
  });
}

type Data = { type: string; content: Record<string, unknown> };

function viewExtensions(view: View, extensions: WireAnswer["extensions"]): void {
  for (const [key, extension] of Object.entries(extensions)) {
    const at = `extensions ${key}`;
    view.set(at, "there");
    const rooms = (extension["rooms"] ?? {}) as Record<string, unknown>;
    if (typeof extension["next_batch"] === "string") view.set(`${at} next_batch`, "given");
    if (key === "to_device") {
      view.set(`${at} events`, canonical(extension["events"]));
    } else if (key === "account_data") {
      for (const { type, content } of (extension["global"] ?? []) as Data[])
        if (type !== MARKER) view.set(`${at} global ${type}`, canonical(content));
      for (const [roomId, data] of Object.entries(rooms) as [string, Data[]][]) {
        view.set(`${at} ${roomId}`, "there");
        for (const { type, content } of data) view.set(`${at} ${roomId} ${type}`, canonical(content));
      }
    } else if (key === "receipts") {
      for (const [roomId, { type, content }] of Object.entries(rooms) as [string, Data][])
        for (const fact of leaves(content)) view.set(`${at} ${roomId} ${fact}`, type);
    } else if (key === "typing") {
      for (const [roomId, typing] of Object.entries(rooms) as [string, Data][])
        view.set(
          `${at} ${roomId}`,
          canonical({ ...typing, content: (typing.content["user_ids"] as string[]).toSorted() }),
        );
    } else if (key.endsWith("sticky_events")) {
      for (const [roomId, { events }] of Object.entries(rooms) as [string, { events: WireEvent[] }][])
        view.set(`${at} ${roomId}`, canonical(events.map(eventText)));
    } else for (const [field, value] of Object.entries(extension)) view.set(`${at} ${field}`, canonical(value));
  }
}

/** Account data whose only purpose is to be waited for. */
export const MARKER = "org.example.marker";

/** Every receipt: event, kind, user, thread and time. */
function leaves(content: Record<string, unknown>): string[] {
  return Object.entries(content as Record<string, Record<string, Record<string, Record<string, unknown>>>>).flatMap(
    ([eventId, kinds]) =>
      Object.entries(kinds).flatMap(([kind, users]) =>
        Object.entries(users).map(([userId, data]) => `${kind} ${userId} ${eventId} ${canonical(data)}`),
      ),
  );
}
