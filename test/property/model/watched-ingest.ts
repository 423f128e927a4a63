import { unpackPollBatch } from "#src/protocol/packed.ts";
import type { BatchApplied, IngestMessage } from "#actors/ingest/messages.ts";
import type { Actor, ActorKind, Reply, StopReason } from "#actors/runtime/actor.ts";

/** The ingest actor as it is; `stored` is told of each poll that it has stored, in its order. */
export function watchedIngest(
  kind: ActorKind<IngestMessage>,
  stored: (device: string) => void,
): ActorKind<IngestMessage> {
  return { ...kind, factory: (context) => new WatchedIngest(kind.factory(context), stored) };
}

class WatchedIngest implements Actor<IngestMessage> {
  readonly #actor: Actor<IngestMessage>;
  readonly #stored: (device: string) => void;

  constructor(actor: Actor<IngestMessage>, stored: (device: string) => void) {
    this.#actor = actor;
    this.#stored = stored;
  }

  receive(message: IngestMessage): void {
    if (message.type !== "store-batch") return this.#actor.receive(message);
    const { userId, deviceId, since } = unpackPollBatch(message.packed);
    // Only the last piece of a poll carries `since`; repairs are of no device.
    const isPoll = since !== null && deviceId !== "";
    this.#actor.receive(
      isPoll ? { ...message, reply: this.#watched(message.reply, `${userId}/${deviceId}`) } : message,
    );
  }

  #watched(reply: Reply<BatchApplied>, device: string): Reply<BatchApplied> {
    return {
      resolve: (value, transfer) => {
        this.#stored(device);
        reply.resolve(value, transfer);
      },
      reject: (error) => reply.reject(error),
    };
  }

  stop(reason: StopReason): void {
    this.#actor.stop?.(reason);
  }

  drain(): Promise<void> {
    return this.#actor.drain?.() ?? Promise.resolve();
  }
}
