import { unpackUpdates } from "#src/protocol/packed.ts";
import type { Actor, ActorContext } from "#actors/runtime/actor.ts";
import { Barrier } from "./barrier.ts";
import type { DirectoryEvent, DirectoryMessage } from "./messages.ts";
import type { Cancel } from "#src/ports/basics.ts";
import type { RoomDirectory } from "./room-directory.ts";

/** An actor that crashed with a commit in its mailbox is read anew from storage: nobody waits for it longer than this. */
const APPLY_LIMIT_MS = 2000;

/** The sync host's ear: applies every commit to the host's directory, in the order ingest sends them. */
export class DirectoryActor implements Actor<DirectoryMessage | DirectoryEvent> {
  readonly #context: ActorContext<DirectoryMessage | DirectoryEvent>;
  readonly #directory: RoomDirectory;

  constructor(context: ActorContext<DirectoryMessage | DirectoryEvent>, directory: RoomDirectory) {
    this.#context = context;
    this.#directory = directory;
  }

  receive(message: DirectoryMessage | DirectoryEvent): void {
    if (message.type === "apply-limit") {
      message.answer();
      return;
    }
    const updates = unpackUpdates(message.packed);
    const { reply } = message;
    let isAnswered = false;
    const answer = (): void => {
      if (isAnswered) return;
      isAnswered = true;
      cancel?.();
      reply.resolve({ pos: updates.toPos });
    };
    let cancel: Cancel | null = null;
    const barrier = new Barrier(answer);
    this.#directory.awaited.note(updates.users, this.#context.clock.mono());
    this.#directory.apply(updates, message.packed.bytes.length, barrier);
    barrier.leave();
    if (!isAnswered) cancel = this.#context.after(APPLY_LIMIT_MS, { type: "apply-limit", answer });
  }
}
