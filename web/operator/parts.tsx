import type { ComponentChildren } from "preact";
import type { AdminApi } from "./admin-api.ts";
import type { Live } from "./use-live.ts";

/** What every page of the operator gets. */
export interface PageProps {
  api: AdminApi;
  now: () => number;
}

/** A part of a page under a heading. */
export function Section({ title, note, children }: { title: string; note?: string; children: ComponentChildren }) {
  return (
    <section class="block" aria-label={title}>
      <header class="block-head">
        <h2>{title}</h2>
        {note !== undefined && <p class="muted small">{note}</p>}
      </header>
      {children}
    </section>
  );
}

/** Waits for what is asked for, and says when it does not come. */
export function Await<T>({ live, children }: { live: Live<T>; children: (value: T) => ComponentChildren }) {
  return (
    <>
      <p class="notice bad" role="alert" hidden={live.failure === null}>
        {live.failure}
      </p>
      {live.value === null ? <p class="muted">{live.failure === null ? "Asking…" : ""}</p> : children(live.value)}
    </>
  );
}

/** One column of a table. */
export interface Column<T> {
  name: string;
  isNumber?: boolean;
  show: (row: T) => ComponentChildren;
}

/** A table that scrolls sideways where it has to, and says when it is empty. */
export function Table<T>(props: {
  label: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  keyOf: (row: T) => string;
  empty: string;
}) {
  const { label, columns, rows, keyOf, empty } = props;
  if (rows.length === 0) return <p class="muted empty-table">{empty}</p>;
  return (
    <div class="table-box" role="group" aria-label={label} tabIndex={0}>
      <table>
        <thead>
          <tr>
            {columns.map(({ name, isNumber }) => (
              <th key={name} scope="col" class={isNumber === true ? "right" : ""}>
                {name === "" ? <span class="visually-hidden">Actions</span> : name}
              </th>
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={keyOf(row)}>
              {columns.map(({ name, isNumber, show }) => (
                <td key={name} class={isNumber === true ? "right number" : ""}>
                  {show(row)}
                </td>
              ))}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

interface TileProps {
  name: string;
  value: string;
  note?: string;
  tone?: "plain" | "good" | "bad";
  children?: ComponentChildren;
}

/** A number that is looked at first. */
export function Tile({ name, value, note, tone = "plain", children }: TileProps) {
  return (
    <div class={`tile tile-${tone}`}>
      <span class="muted small">{name}</span>
      <b class="number">{value}</b>
      {note !== undefined && <span class="muted small">{note}</span>}
      {children}
    </div>
  );
}

/** A user and one of their devices. */
export function Who({ userId, deviceId }: { userId: string; deviceId: string }) {
  return (
    <span class="who">
      <a href={`#/users/${encodeURIComponent(userId)}`}>{userId}</a>
      <span class="muted small">{deviceId === "" ? "no device" : deviceId}</span>
    </span>
  );
}
