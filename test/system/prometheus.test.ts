import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { join } from "node:path";
import { METRIC_SPECS } from "#src/telemetry/metrics.ts";
import { BlackBox, joined, response } from "#test/support/black-box.ts";
import { DEBIAN_PACKAGES, debianPackages, systemProgram } from "#test/support/debian.ts";
import { freePort } from "#test/support/ports.ts";
import { until } from "#test/support/until.ts";

const SETUP_MS = 300_000;
const DEPLOY = join(import.meta.dir, "../../deploy");
const LIST = { lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } } };

/** Those of the Go proxy, so that its boards fit, do not follow today's conventions, and ours go with theirs. */
const UNCONVENTIONAL =
  /(use base unit|should not have|should have "_total" suffix|abbreviated units|contain abbreviated)/;
/** Nothing is told of these while all is well: no label has been seen. */
const TROUBLE = new Set([
  "actor_dead_letters_total",
  "actor_restarts_total",
  "homeserver_failures_total",
  "ingest_failures_total",
  "repair_rooms_total",
  "sliding_sync_poller_failed_polls_total",
]);

const packages = await debianPackages(DEBIAN_PACKAGES.prometheus);
const cleanup = new AsyncDisposableStack();
let scrape = "";

beforeAll(async () => {
  const port = await freePort();
  const box = cleanup.use(await BlackBox.start({}, { SYNCV3_PROM: `127.0.0.1:${port}`, SYNCV3_FORWARD: "1" }));
  for (let n = 0; n < 3; n += 1) {
    const user = box.user("measured");
    const roomId = box.roomId("measured");
    box.homeserver.queue(
      user.token,
      response([joined(roomId, { state: box.beginning(user.id) })], { next_batch: "s1" }),
    );
    const { pos } = await box.sync(user.token, LIST);
    await box.sync(user.token, LIST, { pos });
    await box.ask(user.token, LIST, { pos: "nonsense" });
  }
  // The lag of the event loop is looked at a second after the start.
  await until("what is looked at now and then", async () => {
    scrape = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return /^event_loop_lag_secs_count\S* [1-9]/m.test(scrape);
  });
}, SETUP_MS);
afterAll(() => cleanup.disposeAsync(), SETUP_MS);

function promtool(args: readonly string[], stdin = ""): { code: number; output: string } {
  const ended = Bun.spawnSync([systemProgram("promtool"), ...args], {
    stdin: Buffer.from(stdin),
    cwd: join(DEPLOY, "prometheus"),
  });
  return { code: ended.exitCode, output: `${ended.stdout.toString()}${ended.stderr.toString()}` };
}

/** Names of metrics in the expressions of a board or of rules. */
function namesIn(text: string): string[] {
  const found = text.matchAll(
    /\b((?:sliding_sync|homeserver|ingest|repair|history|front|actor|event_loop|host_heap|database|sync_rooms|process)_[a-z0-9_]+)/g,
  );
  return [
    ...new Set(
      Array.from(found, ([name]) =>
        name.replace(/_(bucket|count)$/, (end, _part, at: number, whole: string) => (isKnown(whole) ? end : "")),
      ),
    ),
  ];
}

const isKnown = (name: string): boolean => METRIC_SPECS.some((spec) => spec.name === name) || name === "actor_count";

/** What a metric can be told apart by. */
function labelsOf(name: string): string[] {
  const spec = METRIC_SPECS.find((known) => known.name === name);
  return ["host", ...(spec?.labels ?? [])].filter((label) => label !== "host" || spec?.isPerHost === true);
}

describe("the board and the alerts", () => {
  const files = ["grafana/glissade.json", "prometheus/alerts.yml"];

  test.each(files)(
    "[MET-20] every metric that %s names is in a scrape of a running server, with values",
    async (file) => {
      const names = namesIn(await Bun.file(join(DEPLOY, file)).text());
      expect(names.length).toBeGreaterThan(10);
      const missing = names.filter((name) => !scrape.includes(`# TYPE ${name} `));
      expect(missing).toEqual([]);
      const silent = names.filter((name) => !new RegExp(`^${name}(_bucket)?[{ ]`, "m").test(scrape));
      expect(silent.filter((name) => !TROUBLE.has(name))).toEqual([]);
    },
  );

  test("[MET-21] the board asks for nothing but labels that its metrics have", async () => {
    const board = (await Bun.file(join(DEPLOY, "grafana/glissade.json")).json()) as {
      panels: { title: string; targets?: { expr: string }[] }[];
    };
    const expressions = board.panels.flatMap(({ targets = [] }) => targets.map(({ expr }) => expr));
    expect(expressions.length).toBeGreaterThan(30);
    for (const expression of expressions) {
      const labels = new Set(namesIn(expression).flatMap(labelsOf));
      const asked = [...expression.matchAll(/by \(([^)]*)\)/g)].flatMap(([, by = ""]) => by.split(/,\s*/));
      expect({ expression, unknown: asked.filter((label) => label !== "le" && !labels.has(label)) }).toEqual({
        expression,
        unknown: [],
      });
    }
  });
});

describe.skipIf(packages !== null)(`promtool${packages === null ? "" : ` (${packages})`}`, () => {
  test("[MET-22] takes our metrics, but for the names that were there before its conventions", () => {
    const { output } = promtool(["check", "metrics"], scrape);
    const complaints = output.split("\n").filter((line) => line !== "" && !UNCONVENTIONAL.test(line));
    expect(complaints).toEqual([]);
  });

  test("[MET-23] takes the alert rules", () => {
    expect(promtool(["check", "rules", "alerts.yml"])).toMatchObject({ code: 0 });
  });

  test("[MET-24] fires each alert on the trouble it is for, and none on a healthy server", () => {
    expect(promtool(["test", "rules", "alerts.test.yml"])).toMatchObject({ code: 0 });
  });
});
