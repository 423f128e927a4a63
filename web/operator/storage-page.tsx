import type { DatabaseView, Page, QuarantineView } from "#src/admin/api.ts";
import { agoText, bytesText, countText } from "../model/format.ts";
import { Meter, PartsBar } from "./charts.tsx";
import { Await, type PageProps, Section, Table, Tile, Who } from "./parts.tsx";
import { useLive } from "./use-live.ts";

const EVERY_MS = 15_000;
/** So many tables have a colour of their own. */
const MOST_PARTS = 6;

/** What the database holds, and what could not be stored. */
export function StoragePage({ api, now }: PageProps) {
  const database = useLive<DatabaseView>(api, "/database", EVERY_MS);
  const quarantine = useLive<Page<QuarantineView>>(api, "/quarantine", EVERY_MS);
  return (
    <>
      <Await live={database}>
        {({ isEmbedded, version, totalBytes, tables }) => (
          <>
            <div class="tiles">
              <Tile
                name="Database"
                value={bytesText(totalBytes)}
                note={`${isEmbedded ? "embedded, " : ""}${version}`}
              />
            </div>
            <Section title="Tables" note="largest first">
              <PartsBar label="Tables by size" parts={tableParts(tables)} />
              <Tables tables={tables} />
            </Section>
          </>
        )}
      </Await>
      <Section title="Quarantine" note="what could not be read or stored; the rest went on without it">
        <Await live={quarantine}>
          {({ items }) => (
            <Table
              label="Quarantine"
              rows={items}
              keyOf={({ id }) => String(id)}
              empty="Nothing was set aside."
              columns={[
                { name: "Seen", show: ({ seenAtMs }) => agoText(seenAtMs, now()) },
                { name: "Device", show: (item) => <Who {...item} /> },
                { name: "Room", show: ({ roomId }) => roomId ?? "–" },
                { name: "Part", show: ({ section }) => section },
                { name: "Reason", show: ({ reason }) => reason },
              ]}
            />
          )}
        </Await>
      </Section>
    </>
  );
}

function Tables({ tables }: Pick<DatabaseView, "tables">) {
  const sorted = tables.toSorted((a, b) => b.totalBytes - a.totalBytes);
  const largest = Math.max(1, sorted[0]?.totalBytes ?? 0);
  return (
    <Table
      label="Tables"
      rows={sorted}
      keyOf={({ name }) => name}
      empty="None."
      columns={[
        { name: "Table", show: ({ name }) => name },
        {
          name: "Size",
          show: ({ totalBytes }) => (
            <span class="measured">
              <Meter value={totalBytes} most={largest} />
              <span class="number">{bytesText(totalBytes)}</span>
            </span>
          ),
        },
        { name: "Indexes", isNumber: true, show: ({ indexBytes }) => bytesText(indexBytes) },
        { name: "Rows", isNumber: true, show: ({ rows }) => countText(Math.max(0, rows)) },
      ]}
    />
  );
}

function tableParts(tables: DatabaseView["tables"]) {
  const sorted = tables.toSorted((a, b) => b.totalBytes - a.totalBytes);
  const rest = sorted.slice(MOST_PARTS).reduce((sum, { totalBytes }) => sum + totalBytes, 0);
  return [
    ...sorted
      .slice(0, MOST_PARTS)
      .map(({ name, totalBytes }, colour) => ({ name, value: totalBytes, text: bytesText(totalBytes), colour })),
    { name: "others", value: rest, text: bytesText(rest), colour: 6 },
  ];
}
