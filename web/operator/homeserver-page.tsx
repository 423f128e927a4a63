import type { UpstreamEndpoint, UpstreamView } from "#src/admin/api.ts";
import { agoText, countText, durationText } from "../model/format.ts";
import { Histogram, Meter } from "./charts.tsx";
import { Await, type PageProps, Section, Table, Tile } from "./parts.tsx";
import { useLive } from "./use-live.ts";

const EVERY_MS = 5000;
/** Of a histogram with fewer, the neighbours are shown too. */
const LEAST_BARS = 8;

/** How the homeserver does, seen from here. */
export function HomeserverPage({ api, now }: PageProps) {
  const live = useLive<UpstreamView>(api, "/upstream", EVERY_MS);
  return (
    <Await live={live}>
      {({ homeserver, endpoints, errors }) => {
        const mostErrors = Math.max(1, ...errors.map(({ count }) => count));
        const { latencyMs, lastFailure } = homeserver;
        return (
          <>
            <p class="muted">{homeserver.url}</p>
            <div class="tiles">
              <Tile name="Calls" value={countText(homeserver.calls)} note={`in ${durationText(homeserver.windowMs)}`} />
              <Tile
                name="Failures"
                value={countText(homeserver.failures)}
                tone={homeserver.failures > 0 ? "bad" : "good"}
                {...(lastFailure === null
                  ? {}
                  : { note: `${lastFailure.reason}, ${agoText(lastFailure.atMs, now())}` })}
              />
              <Tile name="Median" value={latencyMs === null ? "–" : durationText(latencyMs.p50)} />
              <Tile name="19 of 20" value={latencyMs === null ? "–" : durationText(latencyMs.p95)} note="are faster" />
              <Tile name="Slowest" value={latencyMs === null ? "–" : durationText(latencyMs.max)} />
            </div>
            <div class="columns">
              {endpoints.map((endpoint) => (
                <Section
                  key={endpoint.endpoint}
                  title={endpoint.endpoint}
                  note={`${countText(endpoint.calls)} calls, ${durationText(endpoint.totalMs / Math.max(1, endpoint.calls))} each`}
                >
                  <Histogram label={`How long calls of ${endpoint.endpoint} took`} bars={barsOf(endpoint)} />
                </Section>
              ))}
            </div>
            <Section title="Errors" note="since the start">
              <Table
                label="Errors of the homeserver"
                rows={errors}
                keyOf={({ endpoint, kind }) => `${endpoint} ${kind}`}
                empty="There was none."
                columns={[
                  { name: "Endpoint", show: ({ endpoint }) => endpoint },
                  { name: "Kind", show: ({ kind }) => kind },
                  {
                    name: "Count",
                    show: ({ count }) => (
                      <span class="measured">
                        <Meter value={count} most={mostErrors} isBad />
                        <span class="number">{countText(count)}</span>
                      </span>
                    ),
                  },
                ]}
              />
            </Section>
          </>
        );
      }}
    </Await>
  );
}

/** Each column counts all before it: what it adds is what is drawn. Empty ends are left out. */
function barsOf({ histogram }: UpstreamEndpoint): { name: string; value: number }[] {
  const bars = histogram.map(({ leMs, calls }, index) => ({
    name: leMs === null ? "more" : durationText(leMs),
    value: calls - (histogram[index - 1]?.calls ?? 0),
  }));
  const first = bars.findIndex(({ value }) => value > 0);
  const last = bars.findLastIndex(({ value }) => value > 0);
  if (first === -1) return bars.slice(0, LEAST_BARS);
  const spare = Math.max(1, Math.ceil((LEAST_BARS - (last - first + 1)) / 2));
  return bars.slice(Math.max(0, first - spare), last + 1 + spare);
}
