import type { Json } from "./wire.ts";

/** How far somebody has read. */
export interface Receipt {
  pos: number;
  type: string;
  userId: string;
  eventId: string;
  /** null = unthreaded. */
  threadId: string | null;
  ts: number;
}

/** Typing notices and receipts of one room. */
export class RoomEphemera {
  readonly #receipts = new Map<string, Receipt>();
  #receiptsPos = 0;
  readonly #typing = new Map<string, () => void>();
  #typingPos = 0;

  /** Stream position of the last change. */
  get pos(): number {
    return Math.max(this.#receiptsPos, this.#typingPos);
  }

  setReceipt(receipt: Receipt): void {
    this.#receipts.set(`${receipt.type}\0${receipt.threadId ?? ""}\0${receipt.userId}`, receipt);
    this.#receiptsPos = receipt.pos;
  }

  /** Starts or prolongs; `stop` cancels the timer that ends it. True when the set of typing users changed. */
  startTyping(userId: string, pos: number, stop: () => void): boolean {
    const earlier = this.#typing.get(userId);
    earlier?.();
    this.#typing.set(userId, stop);
    if (earlier !== undefined) return false;
    this.#typingPos = pos;
    return true;
  }

  /** True when the user was typing. */
  stopTyping(userId: string, pos: number): boolean {
    const stop = this.#typing.get(userId);
    if (stop === undefined) return false;
    stop();
    this.#typing.delete(userId);
    this.#typingPos = pos;
    return true;
  }

  isTyping(userId: string): boolean {
    return this.#typing.has(userId);
  }

  /** The `m.receipt` event of what changed after `since`, private receipts only for their owner; null if nothing. */
  receiptEvent(since: number, viewer: string): Json | null {
    if (this.#receiptsPos <= since) return null;
    const content: Record<string, Record<string, Record<string, Json>>> = {};
    let isEmpty = true;
    for (const receipt of this.#receipts.values()) {
      if (receipt.pos <= since || (receipt.type === "m.read.private" && receipt.userId !== viewer)) continue;
      isEmpty = false;
      const byUser = ((content[receipt.eventId] ??= {})[receipt.type] ??= {});
      byUser[receipt.userId] =
        receipt.threadId === null ? { ts: receipt.ts } : { ts: receipt.ts, thread_id: receipt.threadId };
    }
    return isEmpty ? null : { type: "m.receipt", content };
  }

  /** The `m.typing` event where it changed after `since`; null otherwise, and on a first sync when nobody types. */
  typingEvent(since: number): Json | null {
    if (this.#typingPos <= since || (since === 0 && this.#typing.size === 0)) return null;
    return { type: "m.typing", content: { user_ids: [...this.#typing.keys()] } };
  }
}
