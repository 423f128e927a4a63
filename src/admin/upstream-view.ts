import { addSummaries, quantileMs } from "#src/homeserver/upstream-watch.ts";
import type { MetricSeries } from "#src/telemetry/metrics-snapshot.ts";
import type { HomeserverView, UpstreamEndpoint, UpstreamView } from "./api.ts";
import type { DescribedHost } from "./operator.ts";

/** How the homeserver does, as the hosts that call it say. */
export function homeserverView(url: string, hosts: readonly DescribedHost[]): HomeserverView {
  const { lastFailure } = addSummaries(hosts.flatMap(({ upstream }) => upstream ?? []));
  return { url, ...recentUpstream(hosts), lastFailure };
}

/** The same, for everybody. */
export function recentUpstream(hosts: readonly DescribedHost[]): Omit<HomeserverView, "url" | "lastFailure"> {
  const summary = addSummaries(hosts.flatMap(({ upstream }) => upstream ?? []));
  const [p50, p95] = [quantileMs(summary, 0.5), quantileMs(summary, 0.95)];
  const { windowMs, calls, failures, maxMs } = summary;
  return { windowMs, calls, failures, latencyMs: p50 === null || p95 === null ? null : { p50, p95, max: maxMs } };
}

/** All calls since the start, from the metrics. */
export function upstreamView(homeserver: HomeserverView, series: readonly MetricSeries[]): UpstreamView {
  const pointsOf = (name: string): MetricSeries["points"] =>
    series.find((metric) => metric.name === name)?.points ?? [];
  return {
    homeserver,
    endpoints: pointsOf("homeserver_request_duration_secs").map(endpointView),
    errors: pointsOf("homeserver_failures_total").map(({ labels, value }) => ({
      endpoint: labels["endpoint"] ?? "",
      kind: labels["kind"] ?? "",
      count: value,
    })),
  };
}

function endpointView({ labels, value, histogram }: MetricSeries["points"][number]): UpstreamEndpoint {
  let calls = 0;
  const cumulated = (histogram?.counts ?? []).map((count, index) => {
    calls += count;
    const bound = histogram?.bounds[index];
    return { leMs: bound === undefined ? null : bound * 1000, calls };
  });
  return { endpoint: labels["endpoint"] ?? "", calls, totalMs: Math.round(value * 1000), histogram: cumulated };
}
