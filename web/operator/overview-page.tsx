import type { HostView, Overview } from "#src/admin/api.ts";
import { agoText, bytesText, countText, durationText } from "../model/format.ts";
import { Meter, PartsBar, Sparkline } from "./charts.tsx";
import { CONNECTION_COLOURS, partsOf, POLLER_COLOURS } from "./colours.ts";
import { Await, type PageProps, Section, Table, Tile } from "./parts.tsx";
import { useHistory, useLive } from "./use-live.ts";

const EVERY_MS = 3000;
/** Six minutes of looking. */
const HISTORY = 120;
/** A loop that is later than this makes everybody wait. */
const LATE_MS = 100;

/** Everything at one glance: is it well, and if not, where. */
export function OverviewPage({ api, now }: PageProps) {
  const live = useLive<Overview>(api, "/overview", EVERY_MS);
  const { value } = live;
  const at = value?.nowAtMs;
  const inFlight = useHistory(value?.requestsInFlight ?? null, at, HISTORY);
  const waiting = useHistory(value === null ? null : waitingMessages(value), at, HISTORY);
  const lag = useHistory(value === null ? null : worstLag(value), at, HISTORY);
  return (
    <Await live={live}>
      {(overview) => (
        <>
          <Health overview={overview} />
          <div class="tiles">
            <Tile name="Requests in flight" value={countText(overview.requestsInFlight)}>
              <Sparkline values={inFlight} label="Requests in flight over the last minutes" />
            </Tile>
            <Tile name="Messages waiting" value={countText(waitingMessages(overview))} note="in all mailboxes">
              <Sparkline values={waiting} label="Waiting messages over the last minutes" />
            </Tile>
            <Tile
              name="Loop lag"
              value={durationText(worstLag(overview))}
              note="worst host, last minute"
              tone={worstLag(overview) > LATE_MS ? "bad" : "plain"}
            >
              <Sparkline values={lag} label="Loop lag over the last minutes" />
            </Tile>
            <Tile
              name="Answered"
              value={successText(overview)}
              note={`${countText(overview.success.requests)} in ${durationText(overview.success.windowMs)}`}
              tone={overview.success.failures > 0 ? "bad" : "good"}
            />
            <Tile
              name="Memory"
              value={bytesText(overview.process.residentBytes)}
              note={`CPU ${durationText(overview.process.cpuSeconds * 1000)} on ${overview.process.cores} cores`}
            />
            <Tile
              name="Homeserver"
              value={overview.homeserver.latencyMs === null ? "–" : durationText(overview.homeserver.latencyMs.p50)}
              note={`median; ${countText(overview.homeserver.failures)} ${overview.homeserver.failures === 1 ? "failure" : "failures"}`}
              tone={overview.homeserver.failures > 0 ? "bad" : "plain"}
            />
          </div>
          <div class="columns">
            <Section title="Pollers" note="one for each device in use">
              <PartsBar label="Pollers by state" parts={partsOf(overview.pollers, POLLER_COLOURS)} />
            </Section>
            <Section title="Connections" note="those in memory">
              <PartsBar label="Connections by state" parts={partsOf(overview.connections, CONNECTION_COLOURS)} />
            </Section>
          </div>
          <Hosts overview={overview} />
          <p class="muted small">
            Version {overview.version}, started {agoText(overview.startedAtMs, now())}.
          </p>
        </>
      )}
    </Await>
  );
}

function Health({ overview }: { overview: Overview }) {
  const { ready, checks } = overview.health;
  const wrong = checks.filter(({ ok }) => !ok);
  return (
    <div class={`health ${ready ? "health-good" : "health-bad"}`} role="status">
      <span class="status-dot" aria-hidden="true" />
      <b>{ready ? "Ready" : "Not ready"}</b>
      {wrong.map(({ name, reason }) => (
        <span key={name}>
          {name}: {reason}
        </span>
      ))}
    </div>
  );
}

function Hosts({ overview: { hosts, nowAtMs } }: { overview: Overview }) {
  const deepest = Math.max(1, ...hosts.map(depthOf));
  const fullest = Math.max(1, ...hosts.map(({ vitals }) => vitals?.heapUsedBytes ?? 0));
  return (
    <Section title="Hosts" note="threads that hold the actors">
      <Table
        label="Hosts"
        rows={hosts}
        keyOf={({ host }) => host}
        empty="None."
        columns={[
          {
            name: "Host",
            show: ({ host, state }) => (
              <span class={`state state-${state === "up" ? "good" : "bad"}`}>
                <span class="status-dot" aria-hidden="true" />
                {host}
                {state === "down" && " is down"}
              </span>
            ),
          },
          { name: "Up for", isNumber: true, show: ({ upSinceAtMs }) => upText(upSinceAtMs, nowAtMs) },
          { name: "Restarts", isNumber: true, show: restartsOf },
          {
            name: "Lag",
            isNumber: true,
            show: ({ vitals }) => (vitals === null ? "–" : durationText(vitals.loopLagMs.max)),
          },
          {
            name: "Actors",
            isNumber: true,
            show: ({ vitals }) => countText(sum(vitals?.actors.map(({ count }) => count))),
          },
          {
            name: "Mailboxes",
            show: (host) => (
              <span class="measured">
                <Meter value={depthOf(host)} most={deepest} />
                <span class="number">{countText(depthOf(host))}</span>
              </span>
            ),
          },
          {
            name: "Heap",
            show: ({ vitals }) => (
              <span class="measured">
                <Meter value={vitals?.heapUsedBytes ?? 0} most={fullest} />
                <span class="number">{vitals === null ? "–" : bytesText(vitals.heapUsedBytes)}</span>
              </span>
            ),
          },
        ]}
      />
    </Section>
  );
}

function restartsOf({ restarts, lastDeath }: HostView) {
  if (lastDeath === null) return restarts;
  return <span title={lastDeath.reason}>{`${restarts}, ${lastDeath.reason}`}</span>;
}

const upText = (upSinceAtMs: number | null, nowMs: number): string =>
  upSinceAtMs === null ? "–" : durationText(Math.max(0, nowMs - upSinceAtMs));

const sum = (values: readonly number[] | undefined): number => (values ?? []).reduce((all, value) => all + value, 0);

const depthOf = ({ vitals }: HostView): number => sum(vitals?.actors.map(({ mailboxDepth }) => mailboxDepth));

const waitingMessages = ({ hosts }: Overview): number => sum(hosts.map(depthOf));

const worstLag = ({ hosts }: Overview): number => Math.max(0, ...hosts.map(({ vitals }) => vitals?.loopLagMs.max ?? 0));

function successText({ success: { requests, failures } }: Overview): string {
  if (requests === 0) return "–";
  const percent = (100 * (requests - failures)) / requests;
  return `${failures > 0 && percent > 99.9 ? "99.9" : percent.toFixed(failures === 0 ? 0 : 1)} %`;
}
