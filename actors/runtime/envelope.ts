import type { Address } from "./actor.ts";
import type { WireError } from "./error-wire.ts";

/** Raised when frames change shape: hosts of one process always agree, nodes one day may not. */
export const ENVELOPE_VERSION = 1;

/** An actor message: `type` says which. */
export interface AnyMessage {
  readonly type: string;
}

/**
 * One envelope between hosts. A tuple, because an object of the same content takes three times as long to clone.
 * `askId` 0 is a tell; `traceparent` "" is no trace.
 */
export type MessageFrame = readonly [
  kind: Address["kind"],
  key: string,
  shard: string,
  askId: number,
  traceparent: string,
  message: AnyMessage,
];

/** One answer to an ask; `error` is null when it has a value. */
export type AnswerFrame = readonly [askId: number, error: WireError | null, value: unknown];

/** All that one host has for another within one tick: one Comlink call. */
export interface Batch {
  readonly v: number;
  readonly messages: readonly MessageFrame[];
  readonly answers: readonly AnswerFrame[];
}

const KINDS: Record<Address["kind"], true> = {
  poller: true,
  ingest: true,
  repair: true,
  directory: true,
  user: true,
  connection: true,
  gateway: true,
  supervisor: true,
  probe: true,
  inspector: true,
};

/** Floor check: enough to route and to answer, nothing of the message's own content. */
export function isMessageFrame(frame: unknown): frame is MessageFrame {
  if (!Array.isArray(frame) || frame.length !== 6) return false;
  const [kind, key, shard, askId, traceparent, message] = frame as readonly unknown[];
  return (
    typeof kind === "string" &&
    Object.hasOwn(KINDS, kind) &&
    typeof key === "string" &&
    typeof shard === "string" &&
    Number.isSafeInteger(askId) &&
    typeof traceparent === "string" &&
    typeof message === "object" &&
    message !== null &&
    "type" in message &&
    typeof message.type === "string"
  );
}

/** Floor check of an answer. */
export function isAnswerFrame(frame: unknown): frame is AnswerFrame {
  return Array.isArray(frame) && frame.length === 3 && Number.isSafeInteger(frame[0]) && typeof frame[1] === "object";
}

/** Floor check of a batch; its frames are checked one by one, so that a bad one costs only itself. */
export function isBatch(batch: unknown): batch is { v: number; messages: unknown[]; answers: unknown[] } {
  return (
    typeof batch === "object" &&
    batch !== null &&
    "v" in batch &&
    batch.v === ENVELOPE_VERSION &&
    "messages" in batch &&
    Array.isArray(batch.messages) &&
    "answers" in batch &&
    Array.isArray(batch.answers)
  );
}
