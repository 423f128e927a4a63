import type { SlowRequestView } from "#src/admin/api.ts";
import { agoText, bytesText, countText, durationText } from "../model/format.ts";
import { PartsBar } from "./charts.tsx";
import { PHASE_COLOURS } from "./colours.ts";
import { Await, type PageProps, Section, Who } from "./parts.tsx";
import { useLive } from "./use-live.ts";

const EVERY_MS = 5000;

/** Requests that took long, and where their time went. */
export function RequestsPage({ api, now }: PageProps) {
  const live = useLive<SlowRequestView[]>(api, "/slow-requests", EVERY_MS);
  return (
    <Section title="Slow requests" note="the last 200 that worked for more than half a second, newest first">
      <Await live={live}>
        {(items) =>
          items.length === 0 ? (
            <p class="muted empty-table">None was slow.</p>
          ) : (
            <ol class="slow">
              {items.map((request) => (
                <SlowRequest
                  key={`${request.endedAtMs} ${request.durationMs} ${request.traceId ?? ""}`}
                  request={request}
                  nowMs={now()}
                />
              ))}
            </ol>
          )
        }
      </Await>
    </Section>
  );
}

function SlowRequest({ request, nowMs }: { request: SlowRequestView; nowMs: number }) {
  const { endedAtMs, traceId, dialect, status, userId, deviceId, isInitial, durationMs, phases, rooms, bytes } =
    request;
  return (
    <li>
      <div class="slow-head">
        {userId === null ? <span class="muted">nobody</span> : <Who userId={userId} deviceId={deviceId ?? ""} />}
        <b class="number">{durationText(durationMs)}</b>
      </div>
      <PartsBar
        label="Where its time went"
        parts={phases.map(({ name, ms }) => ({ name, value: ms, text: durationText(ms), colour: PHASE_COLOURS[name] }))}
      />
      <p class="muted small">
        {agoText(endedAtMs, nowMs)}, {dialect}, status {status}
        {isInitial && ", first of its connection"}
        {rooms !== null && `, ${countText(rooms)} ${rooms === 1 ? "room" : "rooms"}`}
        {bytes !== null && `, ${bytesText(bytes)}`}
        {traceId !== null && (
          <>
            , trace <code>{traceId}</code>
          </>
        )}
      </p>
    </li>
  );
}
