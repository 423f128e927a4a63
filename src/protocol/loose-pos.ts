import { EXTENSION_NAMES, type ExtensionName } from "./engine/draft.ts";
import type { StreamPos } from "./ids.ts";
import { encodePos, type Mac, type PosClaims } from "./pos.ts";
import type { SyncRequest } from "./request.ts";

/** Stands for the life of a connection that has none: what there is to know of it is in its positions. */
export const LOOSE = "loose";

/**
 * True for a request that asks about no room, or how many there are at most, and comes from no connection that asked for more: it
 * needs no memory but its `pos`.
 */
export function isLoose({ lists = {}, room_subscriptions = {} }: SyncRequest, pos: string | null): boolean {
  const isCountOnly = Object.values(lists).every(
    ({ ranges = [], slow_get_all_rooms: isWhole }) => ranges.length === 0 && isWhole !== true,
  );
  const asksNoRoom = isCountOnly && Object.keys(room_subscriptions).length === 0;
  return asksNoRoom && (pos === null || pos.startsWith(`${LOOSE}.`));
}

/** A position that says everything: how far its client is, and which extensions have begun. */
export function encodeLoosePos(streamPos: StreamPos, begun: (name: ExtensionName) => boolean, mac: Mac): string {
  const generation = EXTENSION_NAMES.reduce((bits, name, index) => (begun(name) ? bits + 2 ** index : bits), 0);
  return encodePos({ incarnation: LOOSE, seq: 0, streamPos, generation, behind: [] }, mac);
}

/** The extensions that have begun. */
export const begunExtensions = ({ generation }: PosClaims): ExtensionName[] =>
  EXTENSION_NAMES.filter((_, index) => Math.floor(generation / 2 ** index) % 2 === 1);
