import type { KnownDevice } from "./client-extensions.ts";

/** What of devices' data any of their connections has acknowledged: of that, nothing has to be kept for a connection that begins. */
export class Mail {
  readonly #acknowledged = new Map<string, number>();
  readonly #readers = new Map<string, Set<DeviceReader>>();

  /** Number of the last to-device message that somebody has acknowledged; 0 = none. */
  acknowledged(device: string): number {
    return this.#acknowledged.get(device) ?? 0;
  }

  acknowledge(device: string, n: number): void {
    this.#acknowledged.set(device, Math.max(n, this.acknowledged(device)));
  }

  /** Notes who is told of device lists; true when it is not the only one. */
  readsLists(device: string, reader: DeviceReader): boolean {
    const readers = this.#readers.get(device) ?? new Set();
    this.#readers.set(device, readers.add(reader));
    return readers.size > 1;
  }
}

/** How one of a device's connections reads what is the device's own. */
export class DeviceReader {
  readonly #mail: Mail;
  readonly #device: string;
  /** Who asks for the first time is told of no device lists: it has to look at everybody. */
  readonly #looksAtAll: boolean;
  /** What is up to here somebody else may have acknowledged before this one began: messages, and changes of device lists. */
  messagesFrom = 0;
  listsFrom = 0;
  #readsMessages = false;
  #readsLists = false;

  constructor(mail: Mail, device: string, looksAtAll: boolean) {
    this.#mail = mail;
    this.#device = device;
    this.#looksAtAll = looksAtAll;
  }

  /** The connection begins anew. */
  beginAnew(): void {
    if (this.#looksAtAll) this.#readsLists = false;
  }

  /** A request is made that asks for messages or not. */
  asks(isForMessages: boolean, { toDevice, toDeviceSince }: KnownDevice): void {
    if (isForMessages && !this.#readsMessages)
      this.messagesFrom = Math.max(this.messagesFrom, this.#mail.acknowledged(this.#device));
    if (isForMessages && toDeviceSince !== "") this.#mail.acknowledge(this.#device, toDevice.at(-1) ?? 0);
  }

  /**
   * An answer has come to a request that asked for messages and for device lists, or not: of requests that were given up nobody need
   * know. `stored`: up to where the device's polls have told of its lists.
   */
  hears(isOfMessages: boolean, isOfLists: boolean, stored: number): void {
    this.#readsMessages = isOfMessages;
    const begins = isOfLists && !this.#readsLists;
    this.#readsLists = isOfLists;
    if (!begins) return;
    const isOneOfSeveral = this.#mail.readsLists(this.#device, this);
    if (isOneOfSeveral || this.#looksAtAll) this.listsFrom = Math.max(this.listsFrom, stored);
  }
}
