import type { SyncRequest } from "./request.ts";
import { EMPTY_PARAMS, type MergedRequest, mergeRequest, type StickyParams } from "./sticky.ts";

/**
 * The parameters of a request that leaves nothing to memory: what it does not mention is gone. Parts that are what they
 * were keep their identity. Throws `invalid_param` when it asks for too much.
 */
export function replaceRequest(before: StickyParams, request: SyncRequest): MergedRequest {
  const { params: after } = mergeRequest(EMPTY_PARAMS, request);
  const lists = Object.keys(after.lists);
  const isKept = new Set(lists);
  const deletedLists = Object.keys(before.lists).filter((key) => !isKept.has(key));
  const rooms = Object.keys(after.subscriptions);
  const wanted = new Set(rooms);
  const merged = mergeRequest(before, {
    ...asWhole(request),
    lists: Object.fromEntries([
      ...Object.entries(request.lists ?? {}).map(([key, list]) => [key, { ...WHOLE_LIST, ...list }]),
      ...deletedLists.map((key) => [key, { deleted: true }]),
    ]),
    unsubscribe_rooms: Object.keys(before.subscriptions).filter((roomId) => !wanted.has(roomId)),
  });
  // In the order of the request.
  const ordered = inOrder(merged.params.lists, lists);
  return ordered === merged.params.lists ? merged : { ...merged, params: { ...merged.params, lists: ordered } };
}

/** What a list is without being told, said aloud: nothing of the list before stays. */
const WHOLE_LIST = {
  ranges: [],
  sort: [],
  filters: {},
  slow_get_all_rooms: false,
  bump_event_types: [],
  required_state: [],
  timeline_limit: 0,
  include_heroes: false,
};

const OFF = { enabled: false, lists: ["*"], rooms: ["*"] };

const asWhole = ({ extensions = {}, ...request }: SyncRequest): SyncRequest => ({
  ...request,
  extensions: {
    to_device: { ...OFF, limit: 100, since: "", ...extensions.to_device },
    e2ee: { ...OFF, ...extensions.e2ee },
    account_data: { ...OFF, ...extensions.account_data },
    receipts: { ...OFF, ...extensions.receipts },
    typing: { ...OFF, ...extensions.typing },
    sticky_events: { enabled: false, limit: 100, since: "", ...extensions.sticky_events },
  },
});

function inOrder<V>(record: Record<string, V>, keys: readonly string[]): Record<string, V> {
  const known = Object.keys(record);
  if (known.every((key, index) => key === keys[index])) return record;
  return Object.fromEntries(Object.entries(record).sort(([a], [b]) => keys.indexOf(a) - keys.indexOf(b)));
}
