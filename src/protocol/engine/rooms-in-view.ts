import type { RoomNid } from "../ids.ts";
import type { RoomConfig, StickyParams } from "../sticky.ts";
import type { ListSet } from "./list-set.ts";

/** The rooms that a client looks at: those in the windows of its lists, and those it has subscribed to. */
export class RoomsInView {
  readonly #lists: ListSet;
  /** Subscriptions that count, by the id in the client's parameters: those to rooms that may be shown. */
  readonly #subscribed = new Map<RoomNid, string>();

  constructor(lists: ListSet) {
    this.#lists = lists;
  }

  /** False for a connection that is there for its extensions alone. */
  get isAnythingAsked(): boolean {
    return this.#lists.size > 0 || this.#subscribed.size > 0;
  }

  subscribe(nid: RoomNid, roomId: string): void {
    this.#subscribed.set(nid, roomId);
  }

  /** Returns true when the room was subscribed to. */
  unsubscribe(nid: RoomNid): boolean {
    return this.#subscribed.delete(nid);
  }

  isSubscribed(nid: RoomNid): boolean {
    return this.#subscribed.has(nid);
  }

  /** In a window, or subscribed to. */
  shows(nid: RoomNid): boolean {
    return this.#subscribed.has(nid) || this.#lists.shows(nid);
  }

  rooms(): Set<RoomNid> {
    return new Set([...this.#subscribed.keys(), ...this.#lists.visible()]);
  }

  /** Subscriptions, and the first so many rooms of each window. */
  foremost(count: number): Set<RoomNid> {
    return new Set([...this.#subscribed.keys(), ...this.#lists.foremost(count)]);
  }

  /** What the subscription to a room asks for; undefined when there is none. */
  subscription(nid: RoomNid, { subscriptions }: StickyParams): RoomConfig | undefined {
    return subscriptions[this.#subscribed.get(nid) ?? ""];
  }

  /** What is asked for wherever the room appears. */
  configs(nid: RoomNid, params: StickyParams): RoomConfig[] {
    const configs = this.#lists.shownConfigs(nid);
    const subscription = this.subscription(nid, params);
    if (subscription !== undefined) configs.push(subscription);
    return configs;
  }
}
