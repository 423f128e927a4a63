import { unpackUpdates } from "#src/protocol/packed.ts";
import type { Actor } from "#actors/runtime/actor.ts";
import type { DirectoryMessage } from "./messages.ts";
import type { RoomDirectory } from "./room-directory.ts";

/** The sync host's ear: applies every commit to the host's directory, in the order ingest sends them. */
export class DirectoryActor implements Actor<DirectoryMessage> {
  readonly #directory: RoomDirectory;

  constructor(directory: RoomDirectory) {
    this.#directory = directory;
  }

  receive(message: DirectoryMessage): void {
    const updates = unpackUpdates(message.packed);
    this.#directory.apply(updates, message.packed.bytes.length);
    message.reply.resolve({ pos: updates.toPos });
  }
}
