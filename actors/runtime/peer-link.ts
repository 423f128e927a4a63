import { SyncError } from "#src/errors.ts";
import type { Logger } from "#src/ports/basics.ts";
import type { AskTicket } from "./cell.ts";
import { type AnswerFrame, type Batch, ENVELOPE_VERSION, type MessageFrame } from "./envelope.ts";
import { errorToWire } from "./error-wire.ts";
import type { HostId } from "./placement.ts";

/** The wire to one other host. */
export interface PeerPort {
  /** Throws at once, and posts nothing, when the batch cannot be cloned. Never settles when the peer dies first. */
  deliver(batch: Batch, transfer: Transferable[]): Promise<readonly AnswerFrame[] | undefined>;
  /** The peer is in this thread: a batch costs it as little as its frames one by one, so none waits for others. */
  readonly isNear: boolean;
  close(): void;
}

/** What a link needs of its host. */
export interface LinkOwner {
  readonly logger: Logger;
  /** Runs `run` once the I/O that is ready has been taken in. */
  afterIo(run: () => void): void;
  answersArrived(link: PeerLink, answers: readonly unknown[]): void;
  /** The peer never saw this question. */
  askFailed(link: PeerLink, askId: number, error: SyncError): void;
  deadLetter(kind: string, reason: string): void;
}

/** Frames of one batch; more wait for the next one, so that the first can be worked on meanwhile. */
const BATCH_FRAMES_LIMIT = 512;
/** So many answers do not wait for the end of the round: the peer can begin with them on another core. */
const EAGER_ANSWERS = 4;
/** Frames a peer may owe us before it counts as stuck: memory is bounded even when a host hangs until its heartbeat fails. */
const IN_FLIGHT_FRAMES_LIMIT = 200_000;

/** One direction to one incarnation of a peer; dropped whole when that dies. Keeps the order of what is sent. */
export class PeerLink {
  readonly peer: HostId;
  readonly #owner: LinkOwner;
  readonly #port: PeerPort;
  #messages: MessageFrame[] = [];
  #answers: AnswerFrame[] = [];
  #messageTransfers: (Transferable[] | undefined)[] = [];
  #answerTransfers: (Transferable[] | undefined)[] = [];
  #hasTransfers = false;
  #isScheduled = false;
  #isClosed = false;
  #inFlightCount = 0;
  readonly #flushNow = (): void => this.flush();
  /** Answers given while a batch of this peer is being taken in: they go back as that call's result. */
  #collecting: { answers: AnswerFrame[]; transfers: Transferable[] } | null = null;

  constructor(peer: HostId, port: PeerPort, owner: LinkOwner) {
    this.peer = peer;
    this.#port = port;
    this.#owner = owner;
  }

  get isClosed(): boolean {
    return this.#isClosed;
  }

  /** Frames not yet taken in by the peer. */
  get backlog(): number {
    return this.#inFlightCount + this.#messages.length + this.#answers.length;
  }

  /** False: the peer is so far behind that the frame is refused. */
  send(frame: MessageFrame, transfer?: Transferable[]): boolean {
    if (this.#isClosed || this.#inFlightCount >= IN_FLIGHT_FRAMES_LIMIT) return false;
    this.#messages.push(frame);
    this.#messageTransfers.push(transfer);
    this.#added(transfer);
    return true;
  }

  /** The reply of a question this peer asked; void once the link is closed. */
  ticket(askId: number): AskTicket {
    return {
      resolve: (value, transfer) => this.#answer([askId, null, value], transfer),
      reject: (error) => this.#answer([askId, errorToWire(error), undefined]),
    };
  }

  /** Runs `work` for a batch of this peer; answers given meanwhile are the result. */
  collect(work: () => void): { answers: AnswerFrame[]; transfers: Transferable[] } {
    const collected: { answers: AnswerFrame[]; transfers: Transferable[] } = { answers: [], transfers: [] };
    this.#collecting = collected;
    try {
      work();
    } finally {
      this.#collecting = null;
    }
    return collected;
  }

  flush(): void {
    this.#isScheduled = false;
    if (this.#isClosed || this.#messages.length + this.#answers.length === 0) return;
    const messages = this.#messages;
    const answers = this.#answers;
    const messageTransfers = this.#messageTransfers;
    const answerTransfers = this.#answerTransfers;
    const hadTransfers = this.#hasTransfers;
    this.#messages = [];
    this.#answers = [];
    this.#messageTransfers = [];
    this.#answerTransfers = [];
    this.#hasTransfers = false;
    try {
      const transfer = hadTransfers ? union([...messageTransfers, ...answerTransfers]) : [];
      this.#post({ v: ENVELOPE_VERSION, messages, answers }, transfer);
    } catch {
      // Something in it cannot be cloned: one by one, so that it costs only itself.
      for (const [i, frame] of messages.entries()) this.#postAlone([frame], [], messageTransfers[i]);
      for (const [i, frame] of answers.entries()) this.#postAlone([], [frame], answerTransfers[i]);
    }
  }

  close(): void {
    this.#isClosed = true;
    this.#messages = [];
    this.#answers = [];
    this.#messageTransfers = [];
    this.#answerTransfers = [];
    this.#port.close();
  }

  #answer(frame: AnswerFrame, transfer?: Transferable[]): void {
    if (this.#isClosed) return;
    if (this.#collecting !== null) {
      this.#collecting.answers.push(frame);
      if (transfer !== undefined) this.#collecting.transfers.push(...transfer);
      return;
    }
    this.#answers.push(frame);
    this.#answerTransfers.push(transfer);
    this.#added(transfer);
  }

  #added(transfer: Transferable[] | undefined): void {
    if (transfer !== undefined && transfer.length > 0) this.#hasTransfers = true;
    const waiting = this.#messages.length + this.#answers.length;
    if (waiting >= BATCH_FRAMES_LIMIT || this.#answers.length >= EAGER_ANSWERS) {
      this.flush();
      return;
    }
    if (this.#isScheduled) return;
    this.#isScheduled = true;
    // Not with the end of this task where that costs: one event has twenty requests and polls arrive together, each as a task.
    if (this.#port.isNear) queueMicrotask(this.#flushNow);
    else this.#owner.afterIo(this.#flushNow);
  }

  #post(batch: Batch, transfer: Transferable[]): void {
    const count = batch.messages.length + batch.answers.length;
    const taken = this.#port.deliver(batch, transfer);
    this.#inFlightCount += count;
    taken.then(
      (answers) => {
        this.#inFlightCount -= count;
        if (!this.#isClosed && answers !== undefined) this.#owner.answersArrived(this, answers);
        return null;
      },
      (error: unknown) => {
        this.#inFlightCount -= count;
        if (!this.#isClosed) this.#failed(batch.messages, error);
      },
    );
  }

  #postAlone(messages: MessageFrame[], answers: AnswerFrame[], transfer: Transferable[] | undefined): void {
    try {
      this.#post({ v: ENVELOPE_VERSION, messages, answers }, transfer ?? []);
    } catch (error) {
      this.#failed(messages, error);
      for (const [askId] of answers) {
        this.#owner.logger.error({ peer: this.peer, error: String(error) }, "answer could not be sent");
        this.#answer([askId, errorToWire(error), undefined]);
      }
    }
  }

  #failed(messages: readonly MessageFrame[], error: unknown): void {
    for (const [kind, , , askId, , message] of messages) {
      this.#owner.logger.error(
        { peer: this.peer, actor_kind: kind, message_type: message.type, error: String(error) },
        "message could not be sent",
      );
      this.#owner.deadLetter(kind, "unsendable");
      if (askId === 0) continue;
      const cause = new SyncError("internal", `${kind}.${message.type} could not be sent`, { cause: error });
      this.#owner.askFailed(this, askId, cause);
    }
  }
}

/** Every transferable once: a buffer named twice makes the whole post fail. */
function union(lists: readonly (Transferable[] | undefined)[]): Transferable[] {
  return [...new Set(lists.flatMap((list) => list ?? []))];
}
