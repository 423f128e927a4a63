/** How a user stands to a room, and since when. */
export interface Standing {
  membership: string;
  /** By their own doing. */
  isOwn: boolean;
  at: number;
}

/** What has happened in rooms, in order: why two servers may tell different things of them. */
export class WorldLog {
  #now = 0;
  #stepAt = 0;
  #stepBeforeAt = 0;
  readonly #events = new Map<string, number>();
  readonly #states = new Map<string, number>();
  readonly #standings = new Map<string, Standing>();
  /** When one was in the room for the last time. */
  readonly #outSince = new Map<string, number>();
  readonly #insiders = new Set<string>();
  /** Tags that were changed by who was not in the room, and is not since. */
  readonly #taggedOutside = new Set<string>();
  /** Room account data that was set by who was not in the room, and not since. */
  readonly #setOutside = new Set<string>();
  readonly #typing = new Map<string, Set<string>>();

  /** What happens from here on is news. */
  beginStep(): void {
    this.#stepBeforeAt = this.#stepAt;
    this.#stepAt = this.#now;
  }

  /** Something happened in the room since the step began. */
  isNews(roomId: string): boolean {
    return (this.#events.get(roomId) ?? 0) > this.#stepAt;
  }

  /** An event was sent. */
  happened(roomId: string): void {
    this.#now += 1;
    this.#events.set(roomId, this.#now);
  }

  changed(roomId: string, type: string, stateKey: string): void {
    this.happened(roomId);
    this.#states.set(key(roomId, type, stateKey), this.#now);
  }

  /** Somebody's membership changed, by `by`. */
  moved(roomId: string, userId: string, membership: string, by: string): void {
    this.changed(roomId, "m.room.member", userId);
    if (this.isIn(roomId, userId)) this.#outSince.set(key(roomId, userId), this.#now);
    if (membership === "join") {
      this.#insiders.add(key(roomId, userId));
      this.#taggedOutside.delete(key(roomId, userId));
    }
    this.#standings.set(key(roomId, userId), { membership, isOwn: userId === by, at: this.#now });
  }

  tagged(roomId: string, userId: string): void {
    if (!this.isIn(roomId, userId)) this.#taggedOutside.add(key(roomId, userId));
  }

  /** Account data of a room was set. */
  dataSet(roomId: string, userId: string, type: string): void {
    if (this.isIn(roomId, userId)) this.#setOutside.delete(key(roomId, userId, type));
    else this.#setOutside.add(key(roomId, userId, type));
  }

  /** A classic sync never tells what was set then, nor when one is back. */
  isSetOutside(roomId: string, userId: string, type: string): boolean {
    return this.#setOutside.has(key(roomId, userId, type));
  }

  isTaggedOutside(roomId: string, userId: string): boolean {
    return this.#taggedOutside.has(key(roomId, userId));
  }

  /** All rooms in which anything has happened. */
  get rooms(): string[] {
    return [...this.#events.keys()];
  }

  /** Their membership changed in this step or, for an answer that is asked for again, in the one before. */
  hasMovedLately(roomId: string, userId: string): boolean {
    return (this.standing(roomId, userId)?.at ?? 0) > this.#stepBeforeAt;
  }

  typed(roomId: string, userId: string, isOn: boolean): void {
    const users = this.#typing.get(roomId) ?? new Set();
    this.#typing.set(roomId, users);
    if (isOn) users.add(userId);
    else users.delete(userId);
  }

  /** null = never had to do with it. */
  standing(roomId: string, userId: string): Standing | null {
    return this.#standings.get(key(roomId, userId)) ?? null;
  }

  wasIn(roomId: string, userId: string): boolean {
    return this.#insiders.has(key(roomId, userId));
  }

  /** The room was left by oneself, and not come back to. */
  hasLeft(roomId: string, userId: string): boolean {
    const standing = this.standing(roomId, userId);
    return standing?.membership === "leave" && standing.isOwn;
  }

  isIn(roomId: string, userId: string): boolean {
    return this.standing(roomId, userId)?.membership === "join";
  }

  /** Something happened in the room since one was in it. */
  hasGoneOn(roomId: string, userId: string): boolean {
    return (this.#events.get(roomId) ?? 0) > (this.#outSince.get(key(roomId, userId)) ?? 0);
  }

  /** This state changed since one was in the room. */
  hasChanged(roomId: string, userId: string, type: string, stateKey: string): boolean {
    return (this.#states.get(key(roomId, type, stateKey)) ?? 0) > (this.#outSince.get(key(roomId, userId)) ?? 0);
  }

  /** Said to type, and not to stop; who is sent away meanwhile may be said to type for a while. */
  isTyping(roomId: string, userId: string): boolean {
    return this.#typing.get(roomId)?.has(userId) === true;
  }
}

const key = (...parts: string[]): string => parts.join("\0");
