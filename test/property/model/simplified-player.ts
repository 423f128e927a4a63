import type { ModelHomeserver } from "./model-homeserver.ts";
import type { KnownRoom, WireEvent, WireRoom } from "./model-client.ts";
import { ANSWER_ROUNDS, type Caller, HARMLESS, type ModelNode, type RequestOutcome } from "./model-node.ts";
import { stateKeyOf } from "./homeserver-room.ts";
import { Oracle, type TrueRoom } from "./oracle.ts";
import type { Upstream } from "./upstream.ts";
import { type Telling, Witness } from "./witness.ts";

/** What becomes of a request of simplified sliding sync. */
export type SimplifiedFate = "arrives" | "lost" | "cancelled";

/** What a client asks for; all is said with each request. */
interface Wish {
  readonly end: number;
  readonly limit: number;
  readonly state: readonly (readonly [string, string])[];
}

const NAMES: Wish["state"] = [
  ["m.room.name", ""],
  ["m.room.topic", ""],
];
const WISHES: readonly Wish[] = [
  { end: 99, limit: 1, state: NAMES },
  { end: 99, limit: 3, state: [["*", "*"]] },
  { end: 1, limit: 2, state: NAMES },
  { end: 99, limit: 10, state: NAMES },
  { end: 0, limit: 5, state: [["*", "*"]] },
];
/** All rooms, as much of each as any wish had. */
const ALL: Wish = { end: 99, limit: 10, state: [["*", "*"]] };
/** Answers until nothing more may come. */
const MAX_ROUNDS = 20;
const NO_NEWS = 2;

interface SimplifiedResponse {
  pos: string;
  lists: Record<string, { count: number }>;
  rooms: Record<string, WireRoom & { unstable_expanded_timeline?: boolean; membership?: string }>;
}

/** A client of simplified sliding sync: beside the others, on accounts that they use too. */
export class SimplifiedPlayer {
  readonly #hs: ModelHomeserver;
  readonly #upstream: Upstream;
  readonly #node: ModelNode;
  readonly #caller: Caller;
  readonly #witness: Witness;
  readonly #tell: (what: string) => void;
  readonly #rooms = new Map<string, KnownRoom>();
  #pos: string | null = null;
  #count = 0;
  /** The server may not know any more all that it has told. */
  #mayBeRepeated = false;

  constructor(
    world: { hs: ModelHomeserver; upstream: Upstream; node: ModelNode; telling: Telling },
    caller: Caller,
    tell: (what: string) => void,
  ) {
    this.#hs = world.hs;
    this.#upstream = world.upstream;
    this.#node = world.node;
    this.#caller = caller;
    this.#tell = (what) => tell(`simplified ${caller.userId}/${caller.deviceId} ${what}`);
    this.#witness = new Witness(world.hs, caller.userId, caller.deviceId, this.#tell, world.telling);
  }

  /** The server's memory of connections has gone: rooms go on from where they surely were (decision 26). */
  forget(): void {
    this.#mayBeRepeated = true;
  }

  /** One request; true when its answer said anything. */
  async ask(n: number, fate: SimplifiedFate): Promise<boolean> {
    return this.#ask(WISHES[n % WISHES.length] as Wish, fate);
  }

  /** Asks for everything until nothing more comes, and compares it with the truth. */
  async rest(): Promise<void> {
    for (let round = 0, quiet = 0; quiet < NO_NEWS; round += 1) {
      if (round > MAX_ROUNDS) return this.#tell("does not come to rest");
      quiet = (await this.#ask(ALL, "arrives")) ? 0 : quiet + 1;
    }
    const oracle = new Oracle(this.#hs, this.#upstream, this.#caller.userId);
    let count = 0;
    for (const { id } of this.#hs.rooms.values()) {
      const seen = oracle.room(id);
      // Invites of who is ignored are not shown.
      const isOpen = seen?.isInvite === true && this.#hs.everIgnored(this.#caller.userId).size > 0;
      if (seen === null || isOpen) continue;
      count += 1;
      const known = this.#rooms.get(id);
      if (known === undefined) this.#tell(`${id} was never sent`);
      else if (!seen.isInvite) this.#compare(seen, known);
    }
    if (this.#count < count) this.#tell(`counts ${this.#count} rooms, not ${count}`);
  }

  async #ask(wish: Wish, fate: SimplifiedFate): Promise<boolean> {
    const list = { ranges: [[0, wish.end]], timeline_limit: wish.limit, required_state: wish.state };
    const { requestId, answer } = this.#node.request(this.#caller, this.#pos, { lists: { all: list } }, 0);
    const asked: { outcome: RequestOutcome | null } = { outcome: null };
    void answer.then((outcome) => Object.assign(asked, { outcome }));
    await this.#node.settled();
    if (fate === "cancelled") this.#node.cancel(this.#caller, requestId);
    for (const [waited, ms] of ANSWER_ROUNDS.entries()) {
      if (asked.outcome !== null) break;
      if (waited > 2) this.#upstream.answerHurried();
      await this.#node.pass(ms);
    }
    return fate !== "arrives" || this.#take(asked.outcome);
  }

  #take(outcome: RequestOutcome | null): boolean {
    if (outcome === null) {
      this.#tell("is not answered");
      return false;
    }
    if (!outcome.ok) {
      // The client asks again.
      if (!HARMLESS.has(outcome.code)) this.#tell(`a request fails: ${outcome.code}`);
      return true;
    }
    const { pos, lists, rooms } = JSON.parse(outcome.text) as SimplifiedResponse;
    this.#pos = pos;
    this.#count = lists["all"]?.count ?? 0;
    for (const [roomId, entry] of Object.entries(rooms)) this.#takeRoom(roomId, entry);
    this.#mayBeRepeated = false;
    return Object.keys(rooms).length > 0;
  }

  #takeRoom(roomId: string, entry: SimplifiedResponse["rooms"][string]): void {
    const before = this.#rooms.get(roomId);
    const { timeline = [], required_state: state = [], initial, limited } = entry;
    if (before === undefined && initial !== true) this.#tell(`${roomId}: news before its initial entry`);
    // A longer timeline takes the place of what was there, and is no news.
    const isExpanded = entry.unstable_expanded_timeline === true;
    const news = isExpanded || initial === true ? timeline : this.#withoutRepeated(entry, before);
    const live = isExpanded ? 0 : news.length;
    const looked = { ...entry, timeline: news, num_live: live, ...(isExpanded ? { initial: true } : {}) };
    this.#witness.look(roomId, looked, before);
    const isAnew = initial === true || isExpanded || limited === true;
    const known: KnownRoom = {
      head: { ...(initial === true ? {} : before?.head), ...entry },
      timeline: isAnew ? timeline : [...(before?.timeline ?? []), ...news],
      state: new Map(before?.state),
    };
    // State is what is told as state: in a timeline it may have lost against other state (spec 2.12).
    for (const event of state) known.state.set(stateKeyOf(event.type, event.state_key ?? ""), event);
    this.#rooms.set(roomId, known);
  }

  /** What is told again stands first, is not live, and is known to clients by its ids. */
  #withoutRepeated({ timeline = [], num_live: live = 0 }: WireRoom, before: KnownRoom | undefined): WireEvent[] {
    if (!this.#mayBeRepeated) return timeline;
    const known = new Set(before?.timeline.map(({ event_id: id }) => id));
    const firstNew = timeline.findIndex(({ event_id: id }, index) => index >= timeline.length - live || !known.has(id));
    return firstNew === -1 ? [] : timeline.slice(firstNew);
  }

  #compare({ room, visible, joinedCount, invitedCount }: TrueRoom, { head, timeline, state }: KnownRoom): void {
    if ((head.joined_count ?? 0) !== joinedCount) this.#tell(`${room.id}: joined_count is ${head.joined_count}`);
    if ((head.invited_count ?? 0) !== invitedCount) this.#tell(`${room.id}: invited_count is ${head.invited_count}`);
    const ignored = this.#hs.everIgnored(this.#caller.userId);
    const newest = visible.at(-1);
    if (ignored.size === 0 && newest !== undefined && timeline.at(-1)?.event_id !== newest.id)
      this.#tell(`${room.id}: ends with ${timeline.at(-1)?.event_id}, not ${newest.id}`);
    for (const [key, event] of room.state) {
      if (state.get(key)?.event_id !== event.id)
        this.#tell(`${room.id}: state ${key.replace("\n", "/")} is ${state.get(key)?.event_id}, not ${event.id}`);
    }
  }
}
