import type { FiltersRequest } from "./request.ts";

/** What of a room decides whether a list holds it. */
export interface FilterView {
  isDm: boolean;
  isEncrypted: boolean;
  isInvite: boolean;
  /** The room names a successor. */
  isTombstoned: boolean;
  /** null = an ordinary room. */
  roomType: string | null;
  tags: ReadonlySet<string>;
  /** The name the viewer sees; asked for only when a filter needs it. */
  name: () => string;
  /** Directly below this space. */
  isChildOf: (spaceId: string) => boolean;
}

const isOff = (list: readonly unknown[] | undefined): list is undefined | [] => list === undefined || list.length === 0;

/** True when the room passes every filter; empty arrays are off. */
export function matchesFilters(filters: FiltersRequest, view: FilterView): boolean {
  if (filters.is_dm !== undefined && filters.is_dm !== view.isDm) return false;
  if (filters.is_encrypted !== undefined && filters.is_encrypted !== view.isEncrypted) return false;
  if (filters.is_invite !== undefined && filters.is_invite !== view.isInvite) return false;
  if (filters.is_tombstoned !== undefined && filters.is_tombstoned !== view.isTombstoned) return false;
  if (filters.not_room_types?.includes(view.roomType) === true) return false;
  if (!isOff(filters.room_types) && !filters.room_types.includes(view.roomType)) return false;
  if (filters.not_tags?.some((tag) => view.tags.has(tag)) === true) return false;
  if (!isOff(filters.tags) && !filters.tags.some((tag) => view.tags.has(tag))) return false;
  if (!isOff(filters.spaces) && !filters.spaces.some((spaceId) => view.isChildOf(spaceId))) return false;
  const like = filters.room_name_like;
  return like === undefined || like === "" || view.name().toLowerCase().includes(like.toLowerCase());
}
