/** What a homeserver keeps of one event. `pos` is its place in the homeserver's own stream. */
export interface ModelEvent {
  readonly id: string;
  readonly type: string;
  readonly sender: string;
  /** null = not a state event. */
  readonly stateKey: string | null;
  readonly content: Record<string, unknown>;
  readonly ts: number;
  readonly pos: number;
  /** In the room's log; -1 for state that no timeline carries. */
  readonly index: number;
  /** What it replaced when it was sent. */
  readonly replaced: ModelEvent | null;
  readonly txn: { readonly device: string; readonly id: string } | null;
  readonly redacts: string | null;
  /** The redaction that emptied it. */
  redactedBy: ModelEvent | null;
}

/** One uninterrupted time of a user in a room, from the join to the leave or ban, both included; `to` null = still there. */
export interface Stay {
  readonly from: number;
  to: number | null;
}

interface StateChange {
  readonly pos: number;
  readonly key: string;
  readonly event: ModelEvent | null;
}

/** Key of one piece of state. */
export const stateKeyOf = (type: string, stateKey: string): string => `${type}\n${stateKey}`;

const MEMBER = "m.room.member";

/** A room as its homeserver has it: everything that ever happened, in order. */
export class ModelRoom {
  readonly id: string;
  /** All but state that no timeline carries. */
  readonly log: ModelEvent[] = [];
  readonly byId = new Map<string, ModelEvent>();
  readonly state = new Map<string, ModelEvent>();
  /** The homeserver has deleted it: nobody is in it any more, and no event says so. */
  isPurged = false;
  /** Somebody has gone without an event. */
  hasLost = false;
  readonly #changes: StateChange[] = [];
  readonly #stays = new Map<string, Stay[]>();

  constructor(id: string) {
    this.id = id;
  }

  append(event: ModelEvent): void {
    this.log.push(event);
    this.byId.set(event.id, event);
    if (event.stateKey === null) return;
    this.setState(event.pos, event.type, event.stateKey, event);
  }

  /** Makes an event current state, or takes state away, without anything in the log. */
  setState(pos: number, type: string, stateKey: string, event: ModelEvent | null): void {
    const key = stateKeyOf(type, stateKey);
    if (type === MEMBER) this.#noteMembership(stateKey, event, pos);
    if (event === null) this.state.delete(key);
    else {
      this.state.set(key, event);
      this.byId.set(event.id, event);
    }
    this.#changes.push({ pos, key, event });
  }

  get(type: string, stateKey = ""): ModelEvent | null {
    return this.state.get(stateKeyOf(type, stateKey)) ?? null;
  }

  /** Content of a piece of state as it is now, redacted or not. */
  content(type: string, stateKey = ""): Record<string, unknown> {
    const event = this.get(type, stateKey);
    return event === null ? {} : contentOf(event);
  }

  stateAt(pos: number): Map<string, ModelEvent> {
    const state = new Map<string, ModelEvent>();
    for (const change of this.#changes) {
      if (change.pos > pos) break;
      if (change.event === null) state.delete(change.key);
      else state.set(change.key, change.event);
    }
    return state;
  }

  /** Position of the latest state that came in beside the timeline, after `from` and up to `to`; 0 = none. Of what went there is no word. */
  lastReset(from: number, to: number): number {
    let last = 0;
    for (const { pos, event } of this.#changes) {
      if (pos > from && pos <= to && event !== null && (event.pos !== pos || event.index < 0)) last = pos;
    }
    return last;
  }

  /** When this event was current state: pairs of positions, the second exclusive. */
  reignsOf(event: ModelEvent): [from: number, to: number][] {
    if (event.stateKey === null) return [];
    const key = stateKeyOf(event.type, event.stateKey);
    const reigns: [number, number][] = [];
    let from: number | null = null;
    for (const change of this.#changes) {
      if (change.key !== key) continue;
      if (from !== null) reigns.push([from, change.pos]);
      from = change.event === event ? change.pos : null;
    }
    if (from !== null) reigns.push([from, Number.MAX_SAFE_INTEGER]);
    return reigns;
  }

  /** What the room said of its history at this position; null = nothing. */
  visibilityAt(pos: number): string | null {
    const value = this.stateAt(pos).get(stateKeyOf("m.room.history_visibility", ""))?.content["history_visibility"];
    return typeof value === "string" ? value : null;
  }

  /** Whether later members may see what was sent at this position, as the room itself says. */
  isSharedAt(pos: number): boolean {
    return ["shared", "world_readable"].includes(this.visibilityAt(pos) ?? "");
  }

  /** What a homeserver shows to somebody who is in the room now: without a word of it, history is shared. */
  maySee(userId: string, pos: number): boolean {
    if (this.stayAt(userId, pos) !== null) return true;
    const visibility = this.visibilityAt(pos) ?? "shared";
    return visibility === "invited" ? this.membershipAt(userId, pos) === "invite" : visibility !== "joined";
  }

  membership(userId: string): string {
    const membership = this.content(MEMBER, userId)["membership"];
    return typeof membership === "string" ? membership : "none";
  }

  membershipAt(userId: string, pos: number): string {
    const event = this.stateAt(pos).get(stateKeyOf(MEMBER, userId));
    return event === undefined ? "none" : String(event.content["membership"]);
  }

  /** Users of this membership, in the order of their current member events. */
  members(...memberships: readonly string[]): string[] {
    return [...this.state.values()]
      .filter(({ type, content }) => type === MEMBER && memberships.includes(String(content["membership"])))
      .sort((a, b) => a.pos - b.pos)
      .map(({ stateKey }) => stateKey ?? "");
  }

  staysOf(userId: string): readonly Stay[] {
    return this.#stays.get(userId) ?? [];
  }

  /** The stay in which something happened at this position, if the user may know of it. */
  stayAt(userId: string, pos: number): Stay | null {
    return this.staysOf(userId).find(({ from, to }) => from <= pos && (to === null || pos <= to)) ?? null;
  }

  /** Latest change of the user's membership after `from`, up to `to`; 0 = none. */
  lastMemberChange(userId: string, from: number, to: number): number {
    const key = stateKeyOf(MEMBER, userId);
    return this.#changes.findLast((change) => change.key === key && change.pos > from && change.pos <= to)?.pos ?? 0;
  }

  #noteMembership(userId: string, event: ModelEvent | null, pos: number): void {
    const stays = this.#stays.get(userId) ?? [];
    this.#stays.set(userId, stays);
    const open = stays.at(-1);
    const isIn = event !== null && event.content["membership"] === "join";
    if (isIn && (open === undefined || open.to !== null)) stays.push({ from: pos, to: null });
    else if (!isIn && open !== undefined && open.to === null) open.to = pos;
  }
}

/** Content as it is served now. */
export function contentOf(event: ModelEvent): Record<string, unknown> {
  if (event.redactedBy === null) return event.content;
  return event.type === MEMBER ? { membership: event.content["membership"] } : {};
}
