const WAIT_MS = 120_000;

/** One sliding sync request as it went over the wire. */
export interface Exchange {
  posIn: string | null;
  status: number;
  posOut: string | null;
}

interface SdkEvent {
  getId(): string | undefined;
  getSender(): string | undefined;
  getType(): string;
  getContent(): Record<string, unknown>;
}

interface SdkRoom {
  name: string;
  tags: Record<string, unknown>;
  currentState: { getStateEvents(type: string, stateKey: string): unknown };
  getMyMembership(): string;
  getJoinedMembers(): { userId: string }[];
  getMember(userId: string): { typing: boolean } | null;
  getLiveTimeline(): { getEvents(): SdkEvent[] };
  hasEncryptionStateEvent(): boolean;
  hasUserReadEvent(userId: string, eventId: string): boolean;
}

/** What every version of matrix-js-sdk has of a client. */
interface Sdk {
  getUserId(): string | null;
  getRoom(roomId: string): SdkRoom | null;
  getAccountData(type: never): { getContent(): Record<string, unknown> } | undefined;
  decryptEventIfNeeded(event: never): Promise<void>;
  stopClient(): void;
}

/** A life is lived with it, whatever SDK and dialect it is. */
export abstract class LifeClient {
  abstract readonly client: Sdk;
  /** Every sync request that was answered. */
  readonly exchanges: Exchange[] = [];
  /** Index → room id of each list. */
  readonly orders = new Map<string, string[]>();
  /** How many rooms each list has. */
  readonly counts = new Map<string, number>();

  abstract start(): Promise<void>;
  /** Looks at this many rooms of the list `all`. */
  abstract showRooms(count: number): Promise<unknown>;
  /** Looks at one room closely, and at no other. */
  abstract openRoom(roomId: string): void;
  abstract send(roomId: string, body: string): Promise<unknown>;

  stop(): void {
    this.client.stopClient();
  }

  /** The list `all`, index → room id. */
  get order(): string[] {
    return this.orders.get("all") ?? [];
  }

  /** Waits until a condition on what the client knows holds. */
  async until(what: string | (() => string), holds: () => boolean): Promise<void> {
    const deadline = performance.now() + WAIT_MS;
    while (!holds()) {
      if (performance.now() > deadline)
        throw new Error(`${this.client.getUserId()} waited in vain: ${typeof what === "string" ? what : what()}`);
      await Bun.sleep(10);
    }
  }

  roomName(roomId: string): string | undefined {
    return this.client.getRoom(roomId)?.name;
  }

  membership(roomId: string): string | undefined {
    return this.client.getRoom(roomId)?.getMyMembership();
  }

  joinedMembers(roomId: string): string[] {
    const members = this.client.getRoom(roomId)?.getJoinedMembers() ?? [];
    return members.map(({ userId }) => userId).sort();
  }

  /** Whether the room's current state has this type with an empty state key. */
  hasState(roomId: string, type: string): boolean {
    return this.client.getRoom(roomId)?.currentState.getStateEvents(type, "") != null;
  }

  isEncrypted(roomId: string): boolean {
    return this.client.getRoom(roomId)?.hasEncryptionStateEvent() === true;
  }

  hasTag(roomId: string, tag: string): boolean {
    return this.client.getRoom(roomId)?.tags[tag] !== undefined;
  }

  hasRead(roomId: string, userId: string, eventId: string): boolean {
    return this.client.getRoom(roomId)?.hasUserReadEvent(userId, eventId) === true;
  }

  isTyping(roomId: string, userId: string): boolean {
    return this.client.getRoom(roomId)?.getMember(userId)?.typing === true;
  }

  accountData(type: string): Record<string, unknown> | undefined {
    return this.client.getAccountData(type as never)?.getContent();
  }

  /** Ids of the events of a room's live timeline, local echoes included, in order. */
  eventIds(roomId: string): string[] {
    const events = this.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
    return events.map((event) => event.getId() ?? "");
  }

  /** Bodies of the messages of one sender in a room, in timeline order; undecrypted ones as `?`. */
  messages(roomId: string, sender: string): string[] {
    const events = this.client.getRoom(roomId)?.getLiveTimeline().getEvents() ?? [];
    // What comes with a room that is sent anew is decrypted when it is looked at.
    for (const event of events)
      if (event.getType() === "m.room.encrypted") void this.client.decryptEventIfNeeded(event as never);
    return events
      .filter(
        (event) => event.getSender() === sender && ["m.room.message", "m.room.encrypted"].includes(event.getType()),
      )
      .map((event) => (event.getType() === "m.room.message" ? String(event.getContent()["body"]) : "?"));
  }
}
