import { type ReadonlySignal, signal } from "@preact/signals";
import type { Browser } from "../browser.ts";
import { type ListFilters, LIST_KEY, type Sort, type ViewQuery } from "../model/query.ts";
import { applyUpdate, prependHistory, type Room } from "../model/room.ts";
import { OperatedList, type RoomList, StampedList } from "../model/room-list.ts";
import type { SyncSummary } from "../model/traffic.ts";
import { type DialectName, isObject, readSyncResponse, type SyncResponse } from "../model/wire.ts";
import { areSameRanges, type Viewport, windowsFor } from "../model/windows.ts";
import type { Http } from "./http.ts";
import { type Account, RoomActions } from "./homeserver.ts";
import { SyncConnection, type SyncStatus } from "./sync-connection.ts";

/** A message that the sync has not brought back yet. */
export interface PendingMessage {
  txnId: string;
  roomId: string;
  body: string;
  eventId: string | null;
  failure: string | null;
}

/** Scrolling asks for windows when it has come to rest for so long. */
const SCROLL_REST_MS = 80;
const FIRST_VIEW: Viewport = { first: 0, last: 9 };

/** An account's rooms, kept up to date by one sliding sync connection. */
export class Client {
  readonly account: Account;
  readonly dialect: DialectName;
  readonly #browser: Browser;
  readonly #actions: RoomActions;
  readonly #connection: SyncConnection;
  readonly #rooms = new Map<string, Room>();
  #list: OperatedList | StampedList;
  #cancelScroll: () => void = () => undefined;
  #lastTxn = 0;
  readonly #status = signal<SyncStatus>({ kind: "starting" });
  readonly #query;
  readonly #revision = signal(0);
  readonly #pending = signal<readonly PendingMessage[]>([]);
  readonly #typing = signal<ReadonlyMap<string, readonly string[]>>(new Map());

  constructor(deps: { browser: Browser; http: Http; account: Account; dialect: DialectName }) {
    this.#browser = deps.browser;
    this.account = deps.account;
    this.dialect = deps.dialect;
    this.#actions = new RoomActions(deps.http, deps.account);
    this.#list = this.#newList();
    this.#query = signal<ViewQuery>({
      filters: {},
      sort: "recency",
      windows: windowsFor(deps.dialect, FIRST_VIEW, []),
      openRoom: null,
      wantsMembers: false,
    });
    const { http, account, dialect, browser } = deps;
    this.#connection = new SyncConnection(
      {
        send: ({ path, body }, deadlineMs, signal) =>
          http.call({
            method: "POST",
            url: path,
            path,
            accessToken: account.accessToken,
            body,
            deadlineMs,
            signal,
            summarise,
          }),
        after: (ms, work) => browser.after(ms, work),
        onStatus: (status) => {
          this.#status.value = status;
        },
        onResponse: (response, isNew) => this.#take(response, isNew),
      },
      dialect,
      `console-${browser.randomId()}`,
      this.#query.value,
    );
  }

  get status(): ReadonlySignal<SyncStatus> {
    return this.#status;
  }

  get query(): ReadonlySignal<ViewQuery> {
    return this.#query;
  }

  /** Changes with everything that `list` and `room` would tell. */
  get revision(): ReadonlySignal<number> {
    return this.#revision;
  }

  get pending(): ReadonlySignal<readonly PendingMessage[]> {
    return this.#pending;
  }

  /** Who types, by room. */
  get typing(): ReadonlySignal<ReadonlyMap<string, readonly string[]>> {
    return this.#typing;
  }

  get list(): RoomList {
    return this.#list;
  }

  room(roomId: string): Room | undefined {
    return this.#rooms.get(roomId);
  }

  /** Every room that was told of, in no order. */
  get rooms(): IterableIterator<Room> {
    return this.#rooms.values();
  }

  /** The part of the list that is on the screen. */
  look(viewport: Viewport): void {
    this.#cancelScroll();
    this.#cancelScroll = this.#browser.after(SCROLL_REST_MS, () => {
      const before = this.#query.value;
      const windows = windowsFor(this.dialect, viewport, before.windows);
      if (!areSameRanges(windows, before.windows)) this.#ask({ ...before, windows }, false);
    });
  }

  filter(filters: ListFilters, sort: Sort): void {
    this.#cancelScroll();
    const windows = windowsFor(this.dialect, FIRST_VIEW, []);
    // Without operations nobody tells which rooms are gone; what lies outside the windows belongs to another order.
    if (this.dialect !== "msc3575") this.#list = this.#newList();
    this.#ask({ ...this.#query.value, filters, sort, windows }, this.dialect === "v4");
    this.#revision.value += 1;
  }

  open(roomId: string | null): void {
    if (this.#query.value.openRoom === roomId) return;
    this.#ask({ ...this.#query.value, openRoom: roomId, wantsMembers: false }, false);
  }

  wantMembers(): void {
    if (!this.#query.value.wantsMembers) this.#ask({ ...this.#query.value, wantsMembers: true }, false);
  }

  async send(roomId: string, body: string): Promise<void> {
    this.#lastTxn += 1;
    const txnId = `${this.#browser.randomId()}.${this.#lastTxn}`;
    const message: PendingMessage = { txnId, roomId, body, eventId: null, failure: null };
    this.#pending.value = [...this.#pending.value, message];
    const sent = await this.#actions.send(roomId, txnId, body);
    this.#pending.value = this.#pending.value.map((known) => {
      if (known.txnId !== txnId) return known;
      return "value" in sent ? { ...known, eventId: sent.value } : { ...known, failure: sent.failure };
    });
    this.#settlePending(roomId);
  }

  /** Takes away a message that could not be sent. */
  discard(txnId: string): void {
    this.#pending.value = this.#pending.value.filter((known) => known.txnId !== txnId);
  }

  join(roomId: string): Promise<string | null> {
    return this.#actions.join(roomId);
  }

  leave(roomId: string): Promise<string | null> {
    return this.#actions.leave(roomId);
  }

  async markRead(roomId: string): Promise<string | null> {
    const last = this.#rooms.get(roomId)?.timeline.findLast(({ event_id: id }) => id !== undefined);
    return last?.event_id === undefined ? null : this.#actions.markRead(roomId, last.event_id);
  }

  /** Older messages; resolves to what went wrong. */
  async loadOlder(roomId: string): Promise<string | null> {
    const from = this.#rooms.get(roomId)?.prevBatch ?? null;
    if (from === null) return null;
    const page = await this.#actions.history(roomId, from);
    if ("failure" in page) return page.failure;
    const room = this.#rooms.get(roomId);
    if (room?.prevBatch === from) {
      this.#rooms.set(roomId, prependHistory(room, page.value.events, page.value.end));
      this.#revision.value += 1;
    }
    return null;
  }

  stop(): void {
    this.#cancelScroll();
    this.#connection.stop();
  }

  /** Ends a device that was made here. */
  async logOut(): Promise<void> {
    this.stop();
    if (this.account.isOwnDevice) await this.#actions.logOut();
  }

  #ask(query: ViewQuery, isAnew: boolean): void {
    this.#query.value = query;
    this.#connection.ask(query, isAnew);
  }

  #newList(): OperatedList | StampedList {
    return this.dialect === "v4" ? new StampedList(LIST_KEY) : new OperatedList();
  }

  #take(response: SyncResponse, isNew: boolean): void {
    if (isNew) this.#list = this.#newList();
    for (const [roomId, update] of Object.entries(response.rooms)) {
      this.#rooms.set(roomId, applyUpdate(this.#rooms.get(roomId), roomId, update));
      this.#settlePending(roomId);
    }
    const told = response.lists[LIST_KEY];
    if (told !== undefined) {
      if (this.#list instanceof StampedList) this.#list.apply(told.count, response.rooms);
      else this.#list.apply(told.count, told.ops ?? []);
    }
    this.#takeTyping(response.extensions);
    this.#revision.value += 1;
  }

  #takeTyping(extensions: SyncResponse["extensions"]): void {
    const told = extensions["typing"] ?? extensions["org.matrix.msc4508.typing"];
    if (!isObject(told) || !isObject(told["rooms"])) return;
    const typing = new Map(this.#typing.value);
    for (const [roomId, edu] of Object.entries(told["rooms"])) {
      const content = isObject(edu) && isObject(edu["content"]) ? edu["content"] : {};
      const ids: unknown[] = Array.isArray(content["user_ids"]) ? content["user_ids"] : [];
      typing.set(
        roomId,
        ids.filter((id): id is string => typeof id === "string" && id !== this.account.userId),
      );
    }
    this.#typing.value = typing;
  }

  /** What has come back is not pending any more. */
  #settlePending(roomId: string): void {
    if (this.#pending.value.length === 0) return;
    const timeline = this.#rooms.get(roomId)?.timeline ?? [];
    const isBack = ({ txnId, eventId }: PendingMessage): boolean =>
      timeline.some(
        (event) => event.unsigned?.transaction_id === txnId || (eventId !== null && event.event_id === eventId),
      );
    const left = this.#pending.value.filter((message) => message.roomId !== roomId || !isBack(message));
    if (left.length < this.#pending.value.length) this.#pending.value = left;
  }
}

/** What a response says, to be drawn. */
function summarise(text: string): SyncSummary | null {
  const response = readSyncResponse(text);
  if (response === null) return null;
  const rooms = Object.values(response.rooms);
  const roomsInitial = rooms.filter(({ initial }) => initial === true).length;
  const told = response.lists[LIST_KEY];
  return {
    count: told?.count ?? 0,
    ops: told?.ops ?? [],
    roomsInitial,
    roomsUpdated: rooms.length - roomsInitial,
  };
}
