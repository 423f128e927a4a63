import { DEVICE_FILTER, FIRST_FILTER, LATER_FILTER, filterHash, roomsFilter } from "#src/homeserver/filters.ts";
import type { UserId } from "#src/protocol/ids.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import type { PollerMessage } from "./messages.ts";
import type { PollPart } from "./poll-part.ts";
import type { PollerDeps } from "./poller-deps.ts";

type FilterDeps = Pick<PollerDeps, "homeserver" | "devices">;

/** What a poll asks for. */
interface Wanted {
  /** Of the device, whether the poll names it or not. */
  since: string | null;
  part: PollPart;
}

/** Which filter each poll names: the one for later polls is kept by the homeserver, if it will. */
export class PollFilters {
  #id: string | null = null;
  #isAsked = false;

  choose({ since, part }: Wanted): string {
    if (part === "device") return DEVICE_FILTER;
    if (part === "rooms") return roomsFilter(since);
    return since === null ? FIRST_FILTER : (this.#id ?? LATER_FILTER);
  }

  /** Has the homeserver keep the filter of later polls, once; its id comes as a message. */
  prepare(context: ActorContext<PollerMessage>, deps: FilterDeps, userId: UserId, accessToken: string | null): void {
    if (accessToken === null || this.#isAsked) return;
    this.#isAsked = true;
    context.pipe(
      prepareFilter(deps, accessToken, userId),
      (filterId) => ({ type: "filter-ready", filterId }),
      () => ({ type: "filter-ready", filterId: null }),
    );
  }

  /** The homeserver keeps it under this id; null = it does not, or not any more. */
  set id(id: string | null) {
    this.#id = id;
  }

  get hasId(): boolean {
    return this.#id !== null;
  }
}

/** The id under which the homeserver keeps our filter for this user; null when it will not keep it. */
async function prepareFilter(deps: FilterDeps, accessToken: string, userId: UserId): Promise<string | null> {
  const hash = filterHash(LATER_FILTER);
  const known = await deps.devices.findFilter(userId, hash);
  if (known !== null) return known;
  const uploaded = await deps.homeserver.createFilter(accessToken, userId, LATER_FILTER);
  if (!uploaded.ok) return null;
  await deps.devices.saveFilter(userId, hash, uploaded.value);
  return uploaded.value;
}
