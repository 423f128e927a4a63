import type { StreamPos } from "#src/protocol/ids.ts";
import type { RoomDirectory } from "#actors/directory/room-directory.ts";
import type { LiveUser } from "./live-user.ts";

/** Counts what is under way to a user actor, so that nobody claims a position it has not taken in. */
export class UserProgress {
  readonly #directory: RoomDirectory;
  #pending = 0;
  #appliedPos: StreamPos;

  constructor(directory: RoomDirectory, appliedPos: StreamPos) {
    this.#directory = directory;
    this.#appliedPos = appliedPos;
  }

  sent(): void {
    this.#pending += 1;
  }

  applied(pos: StreamPos): void {
    this.#pending -= 1;
    this.#appliedPos = Math.max(this.#appliedPos, pos);
  }

  /** Everything that concerns the user up to here is in its state. */
  get position(): StreamPos {
    return this.#pending === 0 ? Math.max(this.#directory.head, this.#appliedPos) : this.#appliedPos;
  }
}

/** What a connection holds of its user. */
export class UserLink {
  readonly user: LiveUser;
  /** When the connection was last asked something. */
  usedMs: number;
  readonly #progress: UserProgress;
  #pending = 0;
  #consumedPos: StreamPos;

  constructor(user: LiveUser, progress: UserProgress, nowMs: number) {
    this.user = user;
    this.usedMs = nowMs;
    this.#progress = progress;
    this.#consumedPos = progress.position;
  }

  sent(): void {
    this.#pending += 1;
  }

  consumed(pos: StreamPos): void {
    this.#pending -= 1;
    this.#consumedPos = Math.max(this.#consumedPos, pos);
  }

  /** Everything that concerns the user up to here has been marked dirty on the connection. */
  get position(): StreamPos {
    if (this.#pending === 0) this.#consumedPos = Math.max(this.#consumedPos, this.#progress.position);
    return this.#consumedPos;
  }
}
