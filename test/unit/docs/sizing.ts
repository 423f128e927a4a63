import { readFileSync } from "node:fs";

const RESULTS = new URL("../../../bench/results/", import.meta.url).pathname;

/** Figures by workload and name. */
export type Figures = Readonly<Record<string, Readonly<Record<string, number>>>>;

/** What the benchmark has measured of Glissade on one kind of database. */
export function measuredFigures(database: "postgres" | "pglite"): Figures {
  const { workloads } = JSON.parse(readFileSync(`${RESULTS}${database}.json`, "utf8")) as {
    workloads: Record<string, { results: { server: string; figures: Record<string, number> }[] }>;
  };
  return Object.fromEntries(
    Object.entries(workloads).map(([name, { results }]) => [
      name,
      results.find(({ server }) => server === "glissade")?.figures ?? {},
    ]),
  );
}

/** Two digits that mean something, and whole numbers from a hundred on. */
const rounded = (value: number): string =>
  (value >= 100 ? Math.round(value) : Number(value.toPrecision(2))).toLocaleString("en");

type Row = readonly [what: string, text: (of: (workload: string, name: string) => number) => string];

const ROWS: readonly Row[] = [
  ["memory, just started", (of) => `${rounded(of("idle", "resident_at_start_mb"))} MB`],
  [
    "100 clients in long polls",
    (of) => `${rounded(of("idle", "resident_mb"))} MB, ${rounded(of("idle", "cpu_ms_per_s"))} ms of CPU a second`,
  ],
  [
    "2,000 devices on line",
    (of) => `${rounded(of("many", "resident_mb"))} MB, ${rounded(of("many", "idle_cpu_ms_per_s"))} ms of CPU a second`,
  ],
  ["connecting those 2,000, 50 at a time", (of) => `${rounded(of("many", "connect_s"))} s`],
  [
    "an event until the client has it, 40 events a second to 20 clients each",
    (of) => `${rounded(of("live", "p50_ms"))} ms, 99 of 100 within ${rounded(of("live", "p99_ms"))} ms`,
  ],
  ["CPU for one event to one client, under full load", (of) => `${rounded(of("flood", "cpu_per_delivery_ms"))} ms`],
  ["deliveries a second, both cores full", (of) => rounded(of("flood", "deliveries_per_s"))],
  [
    "first answer to a new account in 2,000 rooms of 21 members",
    (of) => `${rounded(of("login", "first_answer_ms"))} ms`,
  ],
  ["the same account's database", (of) => `${rounded(of("login", "database_mb"))} MB`],
  ["memory when that account has come in", (of) => `${rounded(of("login", "resident_mb"))} MB`],
  ["a further client of such an account", (of) => `${rounded(of("login", "new_connection_ms"))} ms`],
  ["100 more rooms into the window", (of) => `${rounded(of("scroll", "step_ms"))} ms`],
  ["start with 1,500 rooms until ready", (of) => `${rounded(of("restart", "ready_ms"))} ms`],
  ["… until all 60 clients are served", (of) => `${rounded(of("restart", "served_ms"))} ms`],
];

/** The table of `docs/sizing.md`. */
export function sizingTable(figures: { postgres: Figures; pglite: Figures }): string {
  const cell = (of: Figures, text: Row[1]): string => text((workload, name) => of[workload]?.[name] ?? Number.NaN);
  const rows = ROWS.map(
    ([what, text]) => `| ${what} | ${cell(figures.postgres, text)} | ${cell(figures.pglite, text)} |`,
  );
  return `| | PostgreSQL | embedded |\n|---|---|---|\n${rows.join("\n")}`;
}
