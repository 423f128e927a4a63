import type { StoredEvent } from "#src/protocol/events.ts";
import type { RoomNid, StreamPos } from "#src/protocol/ids.ts";
import type { TimelineChunk, TimelineQuery } from "#src/ports/stores.ts";
import type { Database } from "./connection.ts";
import { withOwnBytes } from "./event-chunk.ts";
import { type ChunkRow, eventsOf } from "./row-reading.ts";
import { intArray } from "./text.ts";

/**
 * Newest chunks of each room, until they hold more than the limit or a gap; that one row more says that there is more,
 * without its bytes. The newest chunk may reach beyond `up_to`, so it does not count.
 */
const SELECT_TIMELINES = `
  select q.nid, true as in_timeline, c.first_pos, c.has_gap, case when c.newer < q.max_events then c.records end as records
  from unnest($1::int4[], $2::int8[], $3::int4[]) with ordinality q (nid, up_to, max_events, place)
  cross join lateral (
    select * from (
      select e.first_pos, e.has_gap, e.records,
        coalesce(sum(case when e.last_pos <= q.up_to then e.event_count else 0 end) over newer, 0) as newer,
        coalesce(bool_or(e.has_gap and e.last_pos <= q.up_to) over newer, false) as is_cut
      from (
        select * from events e
        where e.nid = q.nid and e.in_timeline and e.first_pos <= q.up_to
        order by e.first_pos desc limit q.max_events + 2
      ) e
      window newer as (order by e.first_pos desc rows between unbounded preceding and 1 preceding)
    ) e
    where e.newer <= q.max_events and not e.is_cut
  ) c
  order by q.place, c.first_pos`;

/** What of the chunks belongs into the answer, exactly. */
function cutTimeline(nid: RoomNid, rows: readonly TimelineRow[], upTo: StreamPos, limit: number): TimelineChunk {
  const hasOlderRow = rows.some(({ records }) => records === null);
  let events: StoredEvent[] = [];
  for (const row of rows) if (row.records !== null) events = events.concat(withGap(row, row.records));
  if ((events.at(-1)?.pos ?? 0) > upTo) events = events.filter(({ pos }) => pos <= upTo);
  const gap = events.findLastIndex(({ gapBefore }) => gapBefore);
  const contiguous = gap > 0 ? events.slice(gap) : events;
  const newest = limit === 0 ? [] : contiguous.slice(-limit);
  const kept = newest.length * 2 < events.length ? newest.map(withOwnBytes) : newest;
  return { nid, events: kept, hasMore: contiguous.length > newest.length || (hasOlderRow && gap === -1) };
}

/** Events of a row; a gap that none of them has is before the first: what was there was removed. */
function withGap(row: TimelineRow, records: Uint8Array): StoredEvent[] {
  const events = eventsOf({ ...row, records });
  const [first] = events;
  if (!row.has_gap || first === undefined || events.some(({ gapBefore }) => gapBefore)) return events;
  return [{ ...first, gapBefore: true }, ...events.slice(1)];
}

type TimelineRow = Omit<ChunkRow, "records"> & { records: Uint8Array | null; has_gap: boolean };

/** For each room, the newest `limit` timeline events at or below `upTo`. */
export async function loadTimelines(db: Database, queries: readonly TimelineQuery[]): Promise<TimelineChunk[]> {
  if (queries.length === 0) return [];
  const rows = await db.query<TimelineRow>(SELECT_TIMELINES, [
    intArray(queries.map(({ nid }) => nid)),
    intArray(queries.map(({ upTo }) => upTo)),
    intArray(queries.map(({ limit }) => limit)),
  ]);
  const byRoom = Map.groupBy(rows, ({ nid }) => nid);
  return queries.map(({ nid, upTo, limit }) => cutTimeline(nid, byRoom.get(nid) ?? [], upTo, limit));
}
