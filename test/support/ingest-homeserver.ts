import type { EventFields, Membership } from "#src/protocol/events.ts";
import type { PollBatch, PolledRoom } from "#src/protocol/poll-batch.ts";
import {
  bytesOf,
  inviteSection,
  joinSection,
  leaveSection,
  memberEvent,
  pollBatch,
  polledEvent,
  stateEvent,
} from "./polls.ts";

/** What can happen in the room of the model; numbers choose among users. */
export type RoomAction =
  | { do: "message"; user: number }
  | { do: "name" }
  | { do: "member"; user: number; membership: Membership };

interface Standing {
  membership: Membership | null;
  sender: string;
}

export const MODEL_ROOM = "!model:hs";

/** A naive homeserver with one room, which answers classic polls from a list of all events. */
export class ModelHomeserver {
  readonly users: readonly string[];
  readonly events: EventFields[] = [];
  readonly #toDevice = new Map<string, { at: number; id: number }[]>();
  #nextToDevice = 0;
  readonly #options: { isStateAfter: boolean; timelineLimit: number };

  constructor(userCount: number, options: { isStateAfter: boolean; timelineLimit: number }) {
    this.users = Array.from({ length: userCount }, (_, n) => `@u${n}:hs`);
    this.#options = options;
    this.events.push(stateEvent("$0", "m.room.create", "", {}));
  }

  get now(): number {
    return this.events.length;
  }

  act(action: RoomAction): void {
    const id = `$${this.now}`;
    if (action.do === "name") {
      this.events.push(stateEvent(id, "m.room.name", "", { name: `name ${this.now}` }));
      return;
    }
    const user = this.users[action.user % this.users.length] ?? "";
    if (action.do === "message") {
      if (this.standing(user, this.now).membership === "join")
        this.events.push(polledEvent(id, { sender: user, ts: this.now }));
      return;
    }
    const before = this.standing(user, this.now).membership;
    // No invite of somebody who is inside: the other changes may follow each other in any order.
    if (action.membership === "invite" && (before === "join" || before === "ban")) return;
    this.events.push(
      memberEvent(id, user, action.membership, {
        ts: this.now,
        name: `${user} at ${this.now}`,
        ...(before === null ? {} : { prevMembership: before }),
      }),
    );
  }

  sendToDevice(user: string): void {
    const queue = this.#toDevice.get(user) ?? [];
    queue.push({ at: this.now, id: this.#nextToDevice++ });
    this.#toDevice.set(user, queue);
  }

  toDeviceOf(user: string): number[] {
    return (this.#toDevice.get(user) ?? []).map(({ id }) => id);
  }

  standing(user: string, at: number): Standing {
    const event = this.#memberEvents(user, at).at(-1);
    return { membership: event?.membership ?? null, sender: event?.sender ?? "" };
  }

  /** Current state as of a position, by type and key. */
  state(at: number): Map<string, EventFields> {
    const state = new Map<string, EventFields>();
    for (const event of this.events.slice(0, at)) {
      if (event.stateKey !== null) state.set(`${event.type}|${event.stateKey}`, event);
    }
    return state;
  }

  /** One poll of a user's device, from a token of ours (or none) until now. */
  poll(user: string, since: string | null): PollBatch {
    const [from = 0, fromMessage = 0] = since === null ? [] : since.split("-").map(Number);
    const queue = this.#toDevice.get(user) ?? [];
    const toDevice = queue
      .slice(fromMessage)
      .map(({ id }) => ({ type: "m.test", sender: "@x:hs", json: bytesOf({ id }) }));
    const section = this.#section(user, since === null ? null : from);
    return pollBatch(user, {
      since: `${this.now}-${queue.length}`,
      isFirstSync: since === null,
      toDevice,
      rooms: section === null ? [] : [section],
    });
  }

  #memberEvents(user: string, at: number): EventFields[] {
    return this.events.slice(0, at).filter((event) => event.type === "m.room.member" && event.stateKey === user);
  }

  #section(user: string, since: number | null): PolledRoom | null {
    const { membership } = this.standing(user, this.now);
    if (membership === "join") return this.#joined(user, since);
    if (since === null || this.standing(user, since).membership === membership) {
      const hasChanged =
        since !== null && this.#memberEvents(user, this.now).length > this.#memberEvents(user, since).length;
      if (!hasChanged) return membership === "invite" && since === null ? inviteSection(MODEL_ROOM, user) : null;
    }
    if (membership === "invite") return inviteSection(MODEL_ROOM, user);
    return membership === null || membership === "knock" ? null : this.#left(user, since ?? 0);
  }

  #joined(user: string, since: number | null): PolledRoom | null {
    const isNew = since === null || this.#hasStayBegunAfter(user, since);
    const from = isNew ? 0 : since;
    if (from === this.now) return null;
    const start = Math.max(from, this.now - this.#options.timelineLimit);
    return joinSection(MODEL_ROOM, { ...this.#chunk(from, start, this.now), limited: start > from });
  }

  #left(user: string, since: number): PolledRoom {
    const end = this.events.indexOf(this.#lastMember(user)) + 1;
    const wasInside = this.standing(user, since).membership === "join" || this.#hasStayBegunAfter(user, since);
    if (!wasInside)
      return leaveSection(MODEL_ROOM, {
        timeline: [this.#lastMember(user)],
        isStateAfter: this.#options.isStateAfter,
        state: this.#options.isStateAfter ? [this.#lastMember(user)] : [],
      });
    const from = this.#hasStayBegunAfter(user, since) ? 0 : since;
    const start = Math.max(from, end - this.#options.timelineLimit);
    return leaveSection(MODEL_ROOM, { ...this.#chunk(from, start, end), limited: start > from });
  }

  #lastMember(user: string): EventFields {
    return this.#memberEvents(user, this.now).at(-1) as EventFields;
  }

  #hasStayBegunAfter(user: string, since: number): boolean {
    const later = this.#memberEvents(user, this.now).filter((event) => this.events.indexOf(event) >= since);
    let membership = this.standing(user, since).membership;
    for (const event of later) {
      if (event.membership === "join" && membership !== "join") return true;
      membership = event.membership;
    }
    return false;
  }

  #chunk(
    from: number,
    start: number,
    end: number,
  ): { state: EventFields[]; isStateAfter: boolean; timeline: EventFields[] } {
    const { isStateAfter } = this.#options;
    const before = this.state(from);
    const changed = [...this.state(isStateAfter ? end : start)].filter(([key, event]) => before.get(key) !== event);
    return {
      state: changed.map(([, event]) => event),
      isStateAfter,
      timeline: this.events.slice(start, end),
    };
  }
}
