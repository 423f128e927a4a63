import type { RoomNid, StreamPos } from "../ids.ts";
import type { ExtensionName } from "./draft.ts";
import type { StickyProgress } from "./sticky-extension.ts";

/** Where a client is, but for the rooms that it holds. */
export interface ClientProgress {
  readonly seq: number;
  readonly streamPos: StreamPos;
  readonly generation: number;
  readonly isFirst: boolean;
  readonly extensionsSince: ReadonlyMap<ExtensionName, number>;
  readonly behind: ReadonlyMap<RoomNid, StreamPos>;
  readonly sticky: StickyProgress;
}

/** Where a client was when it last acknowledged something, and what was looked at since: a response that is lost takes that with it. */
export class Acknowledged {
  readonly progress: ClientProgress;
  readonly #dirty = new Map<RoomNid, number>();
  #dirtyUser = 0;

  constructor(progress: ClientProgress) {
    this.progress = progress;
  }

  /** A response was made of this. */
  lookedAt(dirty: ReadonlyMap<RoomNid, number>, dirtyUser: number): void {
    for (const [nid, bits] of dirty) this.#dirty.set(nid, (this.#dirty.get(nid) ?? 0) | bits);
    this.#dirtyUser |= dirtyUser;
  }

  get dirty(): ReadonlyMap<RoomNid, number> {
    return this.#dirty;
  }

  get dirtyUser(): number {
    return this.#dirtyUser;
  }
}
