import { beforeEach, describe, expect, test } from "bun:test";
import { Glob } from "bun";
import { METRIC_SPECS } from "#src/telemetry/metrics.ts";
import { createMetricsRegistry } from "#src/telemetry/metrics-registry.ts";
import { MetricsMerger } from "#src/telemetry/metrics-snapshot.ts";
import type { MetricsSnapshot } from "#src/telemetry/metrics-snapshot.ts";
import { prometheusText } from "#src/telemetry/prometheus-text.ts";
import { currentPage, metricsPage } from "#test/support/generated-docs.ts";

const POLLS = "sliding_sync_poller_total_num_polls";
const POLLERS = "sliding_sync_poller_num_pollers";
const TIMELINE = "sliding_sync_poller_timeline_size";
const USAGE = { residentBytes: 1000, cpuSeconds: 1.5, startedAtSeconds: 100 };

const textOf = (merger: MetricsMerger, ...snapshots: MetricsSnapshot[]): string[] =>
  prometheusText(merger.merge(snapshots), USAGE).split("\n");

let merger: MetricsMerger;
beforeEach(() => {
  merger = new MetricsMerger();
});

describe("metrics", () => {
  test("[MET-1] two hosts are told as one", async () => {
    const [a, b] = ["poller-0", "poller-1"].map((host) => createMetricsRegistry({ host, startedMs: 1 }));
    for (const registry of [a, b]) {
      registry?.metrics.count(POLLS, 2);
      registry?.metrics.count(POLLS);
      registry?.metrics.gauge(POLLERS, () => 5);
      registry?.metrics.observe(TIMELINE, 1, { limited: "limited" });
      registry?.metrics.observe(TIMELINE, 7, { limited: "limited" });
      registry?.metrics.observe(TIMELINE, 1000, { limited: "unlimited" });
      registry?.metrics.count("actor_restarts_total");
    }
    const snapshots = await Promise.all(
      [a, b].map(async (registry) => registry?.collect() as Promise<MetricsSnapshot>),
    );
    const lines = textOf(merger, ...structuredClone(snapshots));
    for (const line of [
      `# TYPE ${POLLS} counter`,
      `${POLLS} 6`,
      `# TYPE ${POLLERS} gauge`,
      `${POLLERS} 10`,
      `# TYPE ${TIMELINE} histogram`,
      `${TIMELINE}_bucket{limited="limited",le="0"} 0`,
      `${TIMELINE}_bucket{limited="limited",le="1"} 2`,
      `${TIMELINE}_bucket{limited="limited",le="5"} 2`,
      `${TIMELINE}_bucket{limited="limited",le="10"} 4`,
      `${TIMELINE}_bucket{limited="limited",le="+Inf"} 4`,
      `${TIMELINE}_sum{limited="limited"} 16`,
      `${TIMELINE}_count{limited="limited"} 4`,
      `${TIMELINE}_bucket{limited="unlimited",le="50"} 0`,
      `${TIMELINE}_bucket{limited="unlimited",le="+Inf"} 2`,
      'actor_restarts_total{host="poller-0"} 1',
      'actor_restarts_total{host="poller-1"} 1',
      "process_resident_memory_bytes 1000",
    ]) {
      expect(lines).toContain(line);
    }
    expect(lines.filter((line) => line === `# TYPE ${TIMELINE} histogram`)).toHaveLength(1);
  });

  test("[MET-2] what a crashed host had counted stays, its gauges do not", async () => {
    const before = createMetricsRegistry({ host: "poller-0", startedMs: 1 });
    const other = createMetricsRegistry({ host: "poller-1", startedMs: 1 });
    before.metrics.count(POLLS, 100);
    before.metrics.gauge(POLLERS, () => 7);
    before.metrics.observe(TIMELINE, 3, { limited: "limited" });
    other.metrics.count(POLLS, 10);
    expect(textOf(merger, await before.collect(), await other.collect())).toContain(`${POLLS} 110`);
    // Down: nobody answers for it.
    const whileDown = textOf(merger, await other.collect());
    expect(whileDown).toContain(`${POLLS} 110`);
    expect(whileDown).not.toContain(`${POLLERS} 7`);
    const after = createMetricsRegistry({ host: "poller-0", startedMs: 2 });
    after.metrics.count(POLLS, 1);
    after.metrics.gauge(POLLERS, () => 2);
    after.metrics.observe(TIMELINE, 3, { limited: "limited" });
    const lines = textOf(merger, await after.collect(), await other.collect());
    expect(lines).toContain(`${POLLS} 111`);
    expect(lines).toContain(`${POLLERS} 2`);
    expect(lines).toContain(`${TIMELINE}_count{limited="limited"} 2`);
    expect(textOf(merger, await after.collect(), await other.collect())).toContain(`${POLLS} 111`);
  });

  test("[MET-3] a gauge is read when collected; the same labels again replace it", async () => {
    const registry = createMetricsRegistry({ host: "main", startedMs: 1 });
    let value = 1;
    registry.metrics.gauge(POLLERS, () => value);
    value = 4;
    expect(textOf(merger, await registry.collect())).toContain(`${POLLERS} 4`);
    registry.metrics.gauge(POLLERS, () => 9);
    expect(textOf(merger, await registry.collect())).toContain(`${POLLERS} 9`);
  });

  test("[MET-4] names that are not in the table are counted as what they are: a bug", async () => {
    const registry = createMetricsRegistry({ host: "main", startedMs: 1 });
    registry.metrics.count("no_such_metric");
    registry.metrics.observe(POLLS, 1);
    registry.metrics.gauge("no_such_gauge", () => 1);
    const lines = textOf(merger, await registry.collect());
    expect(lines).toContain("telemetry_unknown_metrics_total 3");
    expect(lines.join("\n")).not.toContain("no_such");
  });

  test("[MET-5] label values are escaped", () => {
    const text = prometheusText([{ name: POLLS, points: [{ labels: { a: 'x"\\\n' }, value: 1 }] }], USAGE);
    expect(text).toContain(`${POLLS}{a="x\\"\\\\\\n"} 1\n`);
  });

  test("[MET-6] every metric the code names is in the table", async () => {
    const root = new URL("../../../", import.meta.url).pathname;
    const known = new Set(METRIC_SPECS.map(({ name }) => name));
    const named = new Map<string, string>();
    for (const folder of ["src", "actors", "db"]) {
      for await (const path of new Glob("**/*.ts").scan(`${root}${folder}`)) {
        const text = await Bun.file(`${root}${folder}/${path}`).text();
        for (const [, name] of text.matchAll(/metrics\??\.(?:count|observe|gauge)\(\s*"(\w+)"/gi)) {
          if (name !== undefined) named.set(name, `${folder}/${path}`);
        }
      }
    }
    expect([...named].filter(([name]) => !known.has(name))).toEqual([]);
    expect(named.size).toBeGreaterThan(10);
  });

  test("[MET-7] the table has each name once, and buckets that rise", () => {
    expect(new Set(METRIC_SPECS.map(({ name }) => name)).size).toBe(METRIC_SPECS.length);
    for (const { buckets = [] } of METRIC_SPECS) expect([...buckets]).toEqual([...buckets].sort((a, b) => a - b));
  });

  test("[MET-8] docs/metrics.md is what the table says", async () => {
    expect(await currentPage("docs/metrics.md", metricsPage())).toBe(metricsPage());
  });
});
