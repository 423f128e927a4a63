import { existsSync, mkdtempSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import type { DatabaseSource } from "./database.ts";
import { pgliteSource, postgresSource, serverSource } from "./database.ts";
import type { ServerSpec } from "./processes.ts";
import type { Result, WorkloadResults } from "./report.ts";
import { workloadTable, writeResults } from "./report.ts";
import { withRig } from "./rig.ts";
import { type BenchDialect, DIALECTS } from "./sliding-client.ts";
import { isKept, TARGETS } from "./targets.ts";
import type { Workload } from "./workload.ts";
import { churn } from "./workloads/churn.ts";
import { fanin } from "./workloads/fanin.ts";
import { flood } from "./workloads/flood.ts";
import { idle } from "./workloads/idle.ts";
import { calm, live } from "./workloads/live.ts";
import { login } from "./workloads/login.ts";
import { many } from "./workloads/many.ts";
import { restart } from "./workloads/restart.ts";
import { scroll } from "./workloads/scroll.ts";

const WORKLOADS: readonly Workload[] = [login, scroll, calm, live, flood, fanin, idle, many, restart, churn];
const OURS = join(import.meta.dir, "..", "dist", "glissade");

/** In which the workloads are measured that clients of simplified sliding sync know. */
const SIMPLIFIED: ReadonlySet<Workload> = new Set([login, scroll, calm, live, flood, restart]);

const USAGE = `usage: bun bench/main.ts [workload…] [options]

workloads: ${WORKLOADS.map(({ name }) => name).join(" ")} (default: all)

  --db postgres|pglite|URL  database of the servers (default postgres: one of its own is started)
  --dialect msc3575|simplified
                            what the clients speak (default msc3575; simplified: ${[...SIMPLIFIED].map(({ name }) => name).join(" ")})
  --peer name='command'     measure another sliding sync server beside ours; may be repeated
  --no-ours                 leave dist/glissade out
  --quick                   small and short, to try the bench itself
  --json file               where results go (default bench/results/<database>.json, nowhere with --quick)
  --help`;

/** Measures one server in one workload; a server that fails does not end the run. */
async function measure(
  workload: Workload,
  spec: ServerSpec,
  source: DatabaseSource,
  { isQuick, dialect }: { isQuick: boolean; dialect: BenchDialect },
): Promise<Result> {
  const logFile = join(mkdtempSync(join(tmpdir(), "glissade-bench-log-")), `${spec.name}-${workload.name}.log`);
  const topology = workload.topology(isQuick);
  try {
    const figures = await withRig({ topology, spec, source, isQuick, logFile, dialect }, (rig) => workload.run(rig));
    return { server: spec.name, figures };
  } catch (error) {
    return {
      server: spec.name,
      failure: `${error instanceof Error ? error.message : String(error)} (log: ${logFile})`,
    };
  }
}

async function openSource(name: string): Promise<DatabaseSource> {
  if (name === "pglite") return pgliteSource();
  if (name === "postgres") return postgresSource();
  return serverSource(name, () => undefined);
}

/** A peer keeps its name, command and everything else but our health answer. */
function readPeer(text: string): ServerSpec {
  const at = text.indexOf("=");
  if (at < 1) throw new Error(`--peer ${text}: give it as name='command'`);
  return { name: text.slice(0, at), command: text.slice(at + 1), hasHealth: false };
}

function isWithinTargets(name: string, { results }: WorkloadResults): boolean {
  const [first] = results;
  if (first === undefined || "failure" in first) return false;
  return TARGETS.every(
    (target) => target.workload !== name || isKept(target, first.figures[target.figure] ?? Number.NaN),
  );
}

async function main(): Promise<number> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      db: { type: "string", default: "postgres" },
      dialect: { type: "string", default: "msc3575" },
      peer: { type: "string", multiple: true, default: [] },
      "no-ours": { type: "boolean", default: false },
      quick: { type: "boolean", default: false },
      json: { type: "string" },
      help: { type: "boolean", default: false },
    },
  });
  if (values.help) {
    console.log(USAGE);
    return 0;
  }
  const unknown = positionals.filter((name) => !WORKLOADS.some((workload) => workload.name === name));
  if (unknown.length > 0) {
    console.error(`unknown workload ${unknown.join(", ")}\n\n${USAGE}`);
    return 2;
  }
  const dialect = DIALECTS.find((name) => name === values.dialect);
  if (dialect === undefined) {
    console.error(`unknown dialect ${values.dialect}\n\n${USAGE}`);
    return 2;
  }
  const isMeant = (workload: Workload): boolean =>
    positionals.length > 0 ? positionals.includes(workload.name) : dialect === "msc3575" || SIMPLIFIED.has(workload);
  const ours: ServerSpec = { name: "glissade", command: OURS, hasHealth: true };
  const servers = [...(values["no-ours"] ? [] : [ours]), ...values.peer.map(readPeer)];
  if (!values["no-ours"] && !existsSync(OURS)) {
    console.error("dist/glissade is missing: run `bun run build` first");
    return 2;
  }

  const source = await openSource(values.db);
  const ran: Record<string, WorkloadResults> = {};
  let keptCount = 0;
  try {
    for (const workload of WORKLOADS) {
      if (!isMeant(workload)) continue;
      const results: Result[] = [];
      for (const spec of servers)
        results.push(await measure(workload, spec, source, { isQuick: values.quick, dialect }));
      const measured = { at: new Date().toISOString(), results };
      ran[workload.name] = measured;
      if (isWithinTargets(workload.name, measured)) keptCount += 1;
      console.log(workloadTable(workload.name, measured));
    }
  } finally {
    source.stop();
  }
  const kind = `${values.db === "pglite" ? "pglite" : "postgres"}${dialect === "msc3575" ? "" : `-${dialect}`}`;
  const file = values.json ?? (values.quick ? null : join(import.meta.dir, "results", `${kind}.json`));
  if (file !== null) writeResults(file, source.label, ran);
  const quickNote = values.quick ? " (quick: the figures say little)" : "";
  console.log(
    `\n${keptCount} of ${Object.keys(ran).length} workloads within all targets, on ${source.label}${quickNote}`,
  );
  return Object.values(ran).some(({ results }) => results.some((result) => "failure" in result)) ? 1 : 0;
}

process.exit(await main());
