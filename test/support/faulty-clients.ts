import { SyncError } from "#src/errors.ts";
import { readSyncRequest } from "#src/protocol/dialects/msc3575-request.ts";
import type { Timers } from "#src/ports/basics.ts";
import type { SyncGateway } from "#src/ports/gateway.ts";
import { NaiveClient, type WireResponse } from "./naive-client.ts";
import type { Session } from "./homeserver.ts";

/** Long enough that a request is answered by news, short enough that silence costs a test little. */
const TIMEOUT_MS = 10_000;
/** Real clients wait a moment before they repeat what failed. */
const PAUSE_MS = 500;
/** As many as a response carries of one room. */
const TIMELINE_LIMIT = 50;

/** The window of the client's one list: everything. */
export const WINDOW: readonly [number, number] = [0, 99];

interface Extensions {
  to_device?: { next_batch: string; events?: { content?: { n?: number } }[] };
  account_data?: { global?: { type: string; content: unknown }[] };
  e2ee?: { device_lists?: { changed?: string[] } };
}

/**
 * A client as they are: one request after the other on one connection, each repeated until it is answered, and
 * sometimes hung up on. It keeps what it was told, and what it should not have been told.
 */
export class FaultyClient {
  readonly naive = new NaiveClient();
  readonly session: Session;
  /** Numbers in the to-device messages received, in order. */
  readonly toDevice: number[] = [];
  readonly accountData = new Map<string, unknown>();
  /** Users whose devices changed, as often as that was told. */
  readonly deviceChanges: string[] = [];
  /** Every event ever received, of all rooms. */
  readonly everSeen = new Set<string>();
  /** Whole entries, by room. */
  readonly initials = new Map<string, number>();
  /** Failed requests by error code. */
  readonly errors = new Map<string, number>();
  /** Answers taken in. */
  responses = 0;
  /** The longest wait for an answer of either kind, in real time. */
  longestMs = 0;
  onProgress: () => void = () => {};
  readonly #gateway: () => SyncGateway;
  readonly #timers: Timers;
  #accessToken: string;
  #since: string | null = null;
  #isConfirmed = false;
  #isRunning = false;
  #request: AbortController | null = null;
  #loop: Promise<void> = Promise.resolve();

  constructor(session: Session, gateway: () => SyncGateway, timers: Timers) {
    this.session = session;
    this.#gateway = gateway;
    this.#timers = timers;
    this.#accessToken = session.accessToken;
  }

  get problems(): readonly string[] {
    const { unknown_pos: lost = 0, internal = 0 } = Object.fromEntries(this.errors);
    return [
      ...this.naive.problems,
      ...(lost > 0 ? [`${lost} times M_UNKNOWN_POS`] : []),
      ...(internal > 0 ? [`${internal} internal errors`] : []),
    ];
  }

  start(): void {
    if (this.#isRunning) return;
    this.#isRunning = true;
    this.#loop = this.#run();
  }

  /** No request is under way any more when it resolves. */
  async stop(): Promise<void> {
    this.#isRunning = false;
    this.#request?.abort();
    await this.#loop;
  }

  /** Gives up on the request under way, and repeats it. */
  hangUp(): void {
    this.#request?.abort();
  }

  /** The user logged in anew on this device. */
  useToken(accessToken: string): void {
    this.#accessToken = accessToken;
  }

  async #run(): Promise<void> {
    while (this.#isRunning) {
      const startedMs = performance.now();
      try {
        const response = await this.#ask();
        if (response !== null) this.#take(response);
      } catch (error) {
        if (!(error instanceof SyncError)) throw error;
        if (error.code !== "client_gone") {
          this.errors.set(error.code, (this.errors.get(error.code) ?? 0) + 1);
          await this.#pause();
        }
      }
      this.longestMs = Math.max(this.longestMs, performance.now() - startedMs);
      this.onProgress();
    }
  }

  /** null when an answer came too late: to a request that was given up. */
  async #ask(): Promise<WireResponse | null> {
    const request = new AbortController();
    this.#request = request;
    const gateway = this.#gateway();
    const identity = await gateway.identify(this.#accessToken);
    const answer = await gateway.sync(identity, {
      dialect: "msc3575",
      pos: this.naive.pos,
      timeoutMs: TIMEOUT_MS,
      request: readSyncRequest(this.#body()),
      signal: request.signal,
    });
    return request.signal.aborted ? null : (JSON.parse(new TextDecoder().decode(answer.body)) as WireResponse);
  }

  #body(): Record<string, unknown> {
    const toDevice = { enabled: true, ...(this.#since === null ? {} : { since: this.#since }) };
    // Sticky parameters are repeated until an answer shows that they arrived.
    if (this.#isConfirmed) return { extensions: { to_device: toDevice } };
    const list = { ranges: [WINDOW], sort: ["by_recency"], timeline_limit: TIMELINE_LIMIT, required_state: [] };
    return {
      lists: { all: list },
      extensions: { to_device: toDevice, e2ee: { enabled: true }, account_data: { enabled: true } },
    };
  }

  #take(response: WireResponse): void {
    this.#isConfirmed = true;
    this.responses += 1;
    this.naive.apply(response);
    for (const [roomId, room] of Object.entries(response.rooms)) {
      if (room.initial === true) this.initials.set(roomId, (this.initials.get(roomId) ?? 0) + 1);
      for (const { event_id: eventId } of room.timeline ?? []) if (eventId !== undefined) this.everSeen.add(eventId);
    }
    const {
      to_device: toDevice,
      account_data: data,
      e2ee,
    } = (response as unknown as { extensions: Extensions }).extensions;
    this.#since = toDevice?.next_batch ?? this.#since;
    for (const { content } of toDevice?.events ?? []) if (content?.n !== undefined) this.toDevice.push(content.n);
    for (const { type, content } of data?.global ?? []) this.accountData.set(type, content);
    this.deviceChanges.push(...(e2ee?.device_lists?.changed ?? []));
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      this.#timers.after(PAUSE_MS, resolve);
    });
  }
}
