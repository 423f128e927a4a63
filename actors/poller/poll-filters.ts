import { DEVICE_FILTER, FIRST_FILTER, LATER_FILTER } from "#src/homeserver/filters.ts";

/** What a poll asks for. */
interface Wanted {
  since: string | null;
  hasSynced: boolean;
  /** Another device brings the user's rooms. */
  isCovered: boolean;
}

/** Which filter each poll names: the one for later polls is kept by the homeserver, if it will. */
export class PollFilters {
  #id: string | null = null;
  #isAsked = false;

  choose({ since, hasSynced, isCovered }: Wanted): string {
    if (since !== null) return this.#id ?? LATER_FILTER;
    return !hasSynced && isCovered ? DEVICE_FILTER : FIRST_FILTER;
  }

  /** True once: the homeserver is to be asked to keep the filter. */
  takeAsking(): boolean {
    const isFirst = !this.#isAsked;
    this.#isAsked = true;
    return isFirst;
  }

  /** The homeserver keeps it under this id; null = it does not, or not any more. */
  set id(id: string | null) {
    this.#id = id;
  }

  get hasId(): boolean {
    return this.#id !== null;
  }
}
