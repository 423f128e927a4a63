import { useEffect, useState } from "preact/hooks";
import type { ListFilters, Sort } from "../model/query.ts";
import { rangesText } from "../model/windows.ts";
import type { Client } from "../session/client.ts";
import { Filters } from "./filters.tsx";
import { RoomRows } from "./room-rows.tsx";
import { Ruler } from "./ruler.tsx";

/** The room list: filters, rows, and a ruler that shows which windows are asked for. */
export function ListPane(props: { client: Client; now: () => number; onOpen: (roomId: string) => void }) {
  const { client, now, onOpen } = props;
  const [seen, setSeen] = useState({ first: 0, last: 0 });
  const [target, setTarget] = useState<{ index: number } | null>(null);
  const { list } = client;
  const query = client.query.value;
  // Rows, ruler and sums are drawn anew with each response.
  const revision = client.revision.value;
  useEffect(() => setTarget({ index: 0 }), [query.filters, query.sort]);
  const isStarting = revision === 0;
  return (
    <section class="pane list-pane" aria-label="Room list">
      <Filters client={client} onChange={(filters: ListFilters, sort: Sort) => client.filter(filters, sort)} />
      <div class="list-body">
        <RoomRows
          client={client}
          now={now}
          target={target}
          onOpen={onOpen}
          onSee={(viewport) => {
            setSeen(viewport);
            client.look(viewport);
          }}
        />
        <Ruler list={list} windows={query.windows} seen={seen} onGo={(index) => setTarget({ index })} />
      </div>
      <p class="list-foot">
        {isStarting ? (
          <span>The first sync of a new device takes as long as the homeserver needs…</span>
        ) : (
          <>
            <span>
              {list.count} {list.count === 1 ? "room" : "rooms"}
            </span>
            <span class="muted">asked for {rangesText(query.windows)}</span>
          </>
        )}
      </p>
    </section>
  );
}
