import { SyncError } from "#src/errors.ts";
import type { Cancel, Logger, Timers } from "#src/ports/basics.ts";
import {
  FLUSH_TYPES,
  MessageType,
  lastReadyStatus,
  notificationsIn,
  startsListening,
  statementNameOf,
} from "./wire-messages.ts";

/** What executes the wire protocol: one PostgreSQL session, which all clients share. */
export interface Backend {
  execute(messages: Uint8Array): Promise<Uint8Array>;
}

/** A client as the session sees it. */
export interface SessionClient {
  readonly id: number;
  send(bytes: Uint8Array): void;
  /** Ends the client's connection. */
  destroy(reason: string): void;
}

interface Job {
  client: SessionClient;
  messages: Uint8Array;
}

/** Others do not wait longer than this for a client that holds the session without using it. */
const IDLE_OWNER_LIMIT_MS = 10_000;

/** What a session needs. */
export interface SessionDeps {
  timers: Timers;
  logger: Logger;
  /** How long others wait for a client that holds the session without using it; absent = some seconds. */
  idleOwnerLimitMs?: number | undefined;
}

const message = (type: number, body: Uint8Array): Uint8Array => {
  const bytes = Buffer.alloc(5 + body.length);
  bytes[0] = type;
  bytes.writeInt32BE(4 + body.length, 1);
  bytes.set(body, 5);
  return bytes;
};
const SYNC = message(MessageType.sync, new Uint8Array());
const ROLLBACK = message(MessageType.query, Buffer.from("rollback\0"));
const UNLISTEN = message(MessageType.query, Buffer.from("unlisten *\0"));
const closeStatement = (name: string): Uint8Array => message(MessageType.close, Buffer.from(`S${name}\0`));

/**
 * Shares one session between clients so that each believes to have one of its own: from the first message of a batch to
 * the end of its transaction, nobody else's messages get in. Prepared statements go when their client goes.
 */
export class SharedSession {
  readonly #backend: Backend;
  readonly #deps: SessionDeps;
  #jobs: Job[] = [];
  #isRunning = false;
  /** Who is inside a batch or a transaction. */
  #owner: SessionClient | null = null;
  #cancelIdleCheck: Cancel | null = null;
  readonly #statements = new Map<string, SessionClient>();
  /** The session is told of what any of them listens to, in the answer to whoever notifies. */
  readonly #listeners = new Set<SessionClient>();

  constructor(backend: Backend, deps: SessionDeps) {
    this.#backend = backend;
    this.#deps = deps;
  }

  /** Messages of one client that end in a message which asks for an answer. */
  submit(client: SessionClient, messages: readonly Uint8Array[]): void {
    for (const bytes of messages) {
      if (startsListening(bytes)) this.#listeners.add(client);
      const name = statementNameOf(bytes);
      if (name === null) continue;
      if (bytes[0] === MessageType.close) this.#statements.delete(name);
      else if ((this.#statements.get(name) ?? client) === client) this.#statements.set(name, client);
      else return client.destroy("another client has a prepared statement of this name");
    }
    this.#jobs.push({
      client,
      messages: messages.length === 1 ? (messages[0] as Uint8Array) : Buffer.concat(messages),
    });
    void this.#run();
  }

  /** Undoes what the client left open. */
  leave(client: SessionClient): void {
    this.#jobs = this.#jobs.filter((job) => job.client !== client);
    const closes: Uint8Array[] = [];
    for (const [name, owner] of this.#statements) {
      if (owner !== client) continue;
      this.#statements.delete(name);
      closes.push(closeStatement(name));
    }
    const isOwner = this.#owner === client;
    const isLast = this.#listeners.delete(client) && this.#listeners.size === 0;
    if (!isOwner && !isLast && closes.length === 0) return;
    const rest = isLast ? [UNLISTEN, ...closes] : closes;
    // A sync ends whatever batch was begun; then a transaction that is open is undone.
    const goodbye = isOwner ? [SYNC, ROLLBACK, ...rest, SYNC] : [...rest, SYNC];
    const ghost: SessionClient = { id: client.id, send: () => undefined, destroy: () => undefined };
    if (isOwner) this.#owner = ghost;
    this.#jobs.push({ client: ghost, messages: Buffer.concat(goodbye) });
    void this.#run();
  }

  /** Resolves when nothing is running any more. */
  async drain(): Promise<void> {
    while (this.#isRunning) await new Promise<void>((resolve) => setImmediate(resolve));
  }

  async #run(): Promise<void> {
    if (this.#isRunning) return;
    this.#isRunning = true;
    for (let job = this.#next(); job !== null; job = this.#next()) {
      try {
        const answer = await this.#backend.execute(job.messages);
        this.#settleOwner(job.client, answer);
        if (answer.length > 0) job.client.send(answer);
        if (this.#listeners.size > 0) this.#passOn(notificationsIn(answer), job.client);
      } catch (error) {
        // The engine itself failed, not a statement: the client must not take silence for success.
        this.#deps.logger.error({ error: String(error) }, "embedded database failed");
        this.#owner = null;
        job.client.destroy("the embedded database failed");
      }
    }
    this.#isRunning = false;
    this.#watchIdleOwner();
  }

  /** Whoever notified has them in the answer. */
  #passOn(notifications: readonly Uint8Array[], from: SessionClient): void {
    for (const notification of notifications)
      for (const listener of this.#listeners) if (listener !== from) listener.send(notification);
  }

  #next(): Job | null {
    const owner = this.#owner;
    const index = owner === null ? 0 : this.#jobs.findIndex((job) => job.client === owner);
    return index === -1 ? null : (this.#jobs.splice(index, 1)[0] ?? null);
  }

  #settleOwner(client: SessionClient, answer: Uint8Array): void {
    // The client may have left while its job ran; then a ghost stands for it until its goodbye is executed.
    if (this.#owner !== null && this.#owner !== client) return;
    this.#owner = lastReadyStatus(answer) === "I" ? null : client;
  }

  #watchIdleOwner(): void {
    this.#cancelIdleCheck?.();
    this.#cancelIdleCheck = null;
    const owner = this.#owner;
    if (owner === null) return;
    this.#cancelIdleCheck = this.#deps.timers.after(this.#deps.idleOwnerLimitMs ?? IDLE_OWNER_LIMIT_MS, () => {
      if (this.#owner !== owner || this.#isRunning) return;
      this.#deps.logger.warn({ client: owner.id }, "embedded database client held its transaction too long");
      owner.destroy("idle in transaction for too long");
      this.leave(owner);
    });
  }
}

/** Cuts a client's byte stream into batches that end where an answer is due. */
export class BatchReader {
  readonly #limitBytes: number;
  #chunks: Uint8Array[] = [];
  #length = 0;
  #needed = 5;
  #batch: Uint8Array[] = [];
  #batchBytes = 0;

  constructor(limitBytes: number) {
    this.#limitBytes = limitBytes;
  }

  /** Throws when a message or batch is larger than allowed. */
  *read(bytes: Uint8Array): Generator<Uint8Array[]> {
    this.#chunks.push(bytes);
    this.#length += bytes.length;
    if (this.#length < this.#needed) return;
    const all =
      this.#chunks.length === 1
        ? Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
        : Buffer.concat(this.#chunks);
    let at = 0;
    this.#needed = 5;
    while (all.length - at >= 5) {
      const size = 1 + all.readInt32BE(at + 1);
      if (size < 5 || size + this.#batchBytes > this.#limitBytes) {
        throw new SyncError("too_large", "a message to the embedded database is malformed or too large");
      }
      if (all.length - at < size) {
        this.#needed = size;
        break;
      }
      const one = all.subarray(at, at + size);
      at += size;
      this.#batch.push(one);
      this.#batchBytes += size;
      if (FLUSH_TYPES.has(one[0] as number)) {
        yield this.#batch;
        this.#batch = [];
        this.#batchBytes = 0;
      }
    }
    this.#chunks = at === all.length ? [] : [all.subarray(at)];
    this.#length = all.length - at;
  }
}
