import { ALL_VARIABLES } from "#src/config/variables.ts";
import type { Variable } from "#src/config/variables.ts";
import { METRIC_SPECS } from "#src/telemetry/metrics.ts";
import { PROCESS_METRICS } from "#src/telemetry/prometheus-text.ts";

const ROOT = new URL("../../", import.meta.url).pathname;

/** The text of a page, which is written first when `UPDATE_DOCS=1` is set. */
export async function currentPage(path: string, generated: string): Promise<string> {
  const file = Bun.file(ROOT + path);
  if (process.env["UPDATE_DOCS"] === "1") await Bun.write(file, generated);
  return (await file.exists()) ? file.text() : "";
}

/** `docs/configuration.md`, whole. */
export function configurationPage(): string {
  const groups = [...new Set(ALL_VARIABLES.map(({ group }) => group))];
  const sections = groups.map((group) => {
    const rows = ALL_VARIABLES.filter((variable) => variable.group === group).map(variableRow);
    return `## ${group}\n\n| variable | default | meaning |\n|---|---|---|\n${rows.join("\n")}\n`;
  });
  return `# Configuration

Glissade is configured by environment variables. Only \`SYNCV3_SERVER\` is required. Names are those of the Go sliding
sync proxy, so that its environment can be kept. \`glissade config check\` reports everything that is wrong, at once, and
what to do about it; a name that is not known is warned about, together with the one that may be meant. An empty variable
counts as not set.

Secrets can be given as files: \`SYNCV3_SECRET_FILE=/run/secrets/glissade\` in place of \`SYNCV3_SECRET\`. White space
around the value is ignored.

${sections.join("\n")}
## Exit codes

| code | meaning |
|---|---|
| 0 | done; after \`SIGTERM\` or \`SIGINT\`, an orderly end |
| 1 | failed: could not start, gave up after too many crashes, not healthy (\`--healthcheck\`), or a room could not be compared (\`resync\`) |
| 2 | the command line or the configuration cannot be used, or what it names cannot: another secret than the database has, a database that was moved away, made by a newer version or that is another program's, one in which its user may not make tables or that is not UTF-8, a directory that cannot be written. Only an operator can help: the unit of [systemd](systemd.md) does not start it again |

This page is made of \`src/config/variables.ts\`: \`UPDATE_DOCS=1 bun test test/unit/config\` writes it anew.
`;
}

const variableRow = ({ name, fallback, meaning, hasFileForm }: Variable): string =>
  `| \`${name}\`${hasFileForm ? `<br>\`${name}_FILE\`` : ""} | ${fallback} | ${meaning} |`;

/** `docs/metrics.md`, whole. */
export function metricsPage(): string {
  const rows = METRIC_SPECS.map((spec) => {
    const labels = [...(spec.labels ?? []), ...(spec.isPerHost ? ["host"] : [])].map((label) => `\`${label}\``);
    const buckets = spec.buckets === undefined ? "" : ` Buckets: ${spec.buckets.join(", ")}.`;
    return `| \`${spec.name}\` | ${spec.type} | ${labels.join(", ")} | ${spec.help}${buckets} |`;
  });
  const ofProcess = PROCESS_METRICS.map(({ name, type, help }) => `| \`${name}\` | ${type} |  | ${help} |`);
  return `# Metrics

\`SYNCV3_PROM\` names the address where \`GET /metrics\` answers in Prometheus' text format; it has no authentication, so
keep it off the public network. Without \`SYNCV3_PROM\` nothing is counted.

Numbers are summed over all Workers, but for those with a label \`host\`. What a crashed Worker had counted stays in the
sums. Metrics that the Go sliding sync proxy had keep its names and units, so that its dashboards fit. A metric with
labels appears with its first observation. No label names a user, a device or a room.

| name | type | labels | meaning |
|---|---|---|---|
${[...rows, ...ofProcess].join("\n")}

This page is made of \`src/telemetry/metrics.ts\`: \`UPDATE_DOCS=1 bun test test/unit/telemetry\` writes it anew.
`;
}
