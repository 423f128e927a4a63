import { useState } from "preact/hooks";
import type { FirstSyncView, Overview, Page, PollerView } from "#src/admin/api.ts";
import { agoText, bytesText, countText, durationText } from "../model/format.ts";
import { PartsBar, Progress } from "./charts.tsx";
import { partsOf, POLLER_COLOURS } from "./colours.ts";
import { ConfirmedButton } from "./confirmed-button.tsx";
import { Await, type PageProps, Section, Table, Who } from "./parts.tsx";
import { useLive } from "./use-live.ts";

const EVERY_MS = 2000;

/** What the homeserver is asked, for whom, and how far first syncs are. */
export function PollersPage({ api, now }: PageProps) {
  const [state, setState] = useState("");
  const params = new URLSearchParams({ limit: "100", ...(state === "" ? {} : { state }) });
  const overview = useLive<Overview>(api, "/overview", EVERY_MS);
  const firstSyncs = useLive<Page<FirstSyncView>>(api, "/first-syncs", EVERY_MS);
  const pollers = useLive<Page<PollerView>>(api, `/pollers?${params}`, EVERY_MS);
  return (
    <>
      <Section title="By state">
        <Await live={overview}>
          {(value) => <PartsBar label="Pollers by state" parts={partsOf(value.pollers, POLLER_COLOURS)} />}
        </Await>
      </Section>
      <Section title="First syncs" note="of devices that are new here">
        <Await live={firstSyncs}>
          {({ items }) =>
            items.length === 0 ? (
              <p class="muted empty-table">No first sync runs or waits.</p>
            ) : (
              <ul class="first-syncs">
                {items.map((sync) => (
                  <FirstSync key={`${sync.userId} ${sync.deviceId}`} sync={sync} nowMs={now()} />
                ))}
              </ul>
            )
          }
        </Await>
      </Section>
      <Section title="Devices" note="in use; idle ones are parked and not listed">
        <label class="inline">
          State
          <select value={state} onChange={(event) => setState(event.currentTarget.value)}>
            <option value="">any</option>
            {Object.keys(POLLER_COLOURS).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <Await live={pollers}>
          {({ items, next }) => (
            <>
              <Table
                label="Pollers"
                rows={items}
                keyOf={({ userId, deviceId }) => `${userId} ${deviceId}`}
                empty="No poller is like this."
                columns={[
                  { name: "Device", show: (poller) => <Who {...poller} /> },
                  { name: "State", show: (poller) => <PollerStateText poller={poller} nowMs={now()} /> },
                  { name: "Stored", isNumber: true, show: ({ lastStoredAtMs }) => agoText(lastStoredAtMs, now()) },
                  { name: "Host", show: ({ host }) => host },
                  {
                    name: "",
                    show: ({ userId, deviceId, state: is }) => (
                      <ConfirmedButton
                        name={is === "paused" ? "Resume" : "Pause"}
                        question={
                          is === "paused"
                            ? `Poll for ${userId} again, from where it stopped?`
                            : `Ask the homeserver nothing more for this device of ${userId}? Its clients are answered from what is known.`
                        }
                        act={() => api.setPaused(userId, deviceId, is !== "paused")}
                        onDone={pollers.refresh}
                      />
                    ),
                  },
                ]}
              />
              {next !== null && (
                <p class="muted small">The first {items.length} are shown; look for a user on the page of users.</p>
              )}
            </>
          )}
        </Await>
      </Section>
    </>
  );
}

function FirstSync({ sync, nowMs }: { sync: FirstSyncView; nowMs: number }) {
  const { progress } = sync;
  return (
    <li>
      <Who {...sync} />
      <span class="first-sync-bar">
        <Progress
          done={progress?.roomsDone ?? 0}
          total={progress?.roomsTotal ?? 0}
          label={`First sync of ${sync.userId}`}
        />
        <span class="muted small number">
          {progress === null
            ? `${sync.state === "queued" ? "waits for its turn" : "the homeserver is preparing it"}, ${durationText(nowMs - sync.startedAtMs)}`
            : `${countText(progress.roomsDone)} of ${countText(progress.roomsTotal)} rooms, ${bytesText(progress.bytesDone)} of ${bytesText(progress.bytesTotal)}`}
          {sync.failures > 0 && `; failed ${sync.failures} times`}
        </span>
      </span>
    </li>
  );
}

function PollerStateText({ poller, nowMs }: { poller: PollerView; nowMs: number }) {
  const { state, stateSinceAtMs, failures, lastFailure, retryAtMs } = poller;
  return (
    <span class="who">
      <span>
        <span class={`key-dot part-${POLLER_COLOURS[state]}`} aria-hidden="true" /> {state}
        {state === "waiting" && retryAtMs !== null && `, again in ${durationText(Math.max(0, retryAtMs - nowMs))}`}
      </span>
      <span class="muted small">
        {failures > 0 ? `${failures} failures: ${lastFailure ?? ""}` : `for ${durationText(nowMs - stateSinceAtMs)}`}
      </span>
    </span>
  );
}
