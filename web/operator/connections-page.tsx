import { useState } from "preact/hooks";
import type { ConnectionView, Overview, Page } from "#src/admin/api.ts";
import { agoText, connectionName, countText, durationText } from "../model/format.ts";
import { PartsBar } from "./charts.tsx";
import { CONNECTION_COLOURS, partsOf } from "./colours.ts";
import { ConfirmedButton } from "./confirmed-button.tsx";
import { Await, type PageProps, Section, Table, Who } from "./parts.tsx";
import { useLive } from "./use-live.ts";

const EVERY_MS = 2000;

/** Who syncs, in which dialect, and what they wait for. */
export function ConnectionsPage({ api, now }: PageProps) {
  const [state, setState] = useState("");
  const params = new URLSearchParams({ limit: "100", ...(state === "" ? {} : { state }) });
  const overview = useLive<Overview>(api, "/overview", EVERY_MS);
  const connections = useLive<Page<ConnectionView>>(api, `/connections?${params}`, EVERY_MS);
  return (
    <>
      <Section title="By state">
        <Await live={overview}>
          {(value) => <PartsBar label="Connections by state" parts={partsOf(value.connections, CONNECTION_COLOURS)} />}
        </Await>
      </Section>
      <Section title="Connections" note="those in memory; others come back with their next request">
        <label class="inline">
          State
          <select value={state} onChange={(event) => setState(event.currentTarget.value)}>
            <option value="">any</option>
            {Object.keys(CONNECTION_COLOURS).map((name) => (
              <option key={name}>{name}</option>
            ))}
          </select>
        </label>
        <Await live={connections}>
          {({ items, next }) => (
            <>
              <Table
                label="Connections"
                rows={items}
                keyOf={({ userId, deviceId, connId }) => `${userId} ${deviceId} ${connId}`}
                empty="No connection is like this."
                columns={[
                  { name: "Device", show: (connection) => <Who {...connection} /> },
                  { name: "Connection", show: ({ connId, dialect }) => <Named connId={connId} dialect={dialect} /> },
                  { name: "State", show: stateOf },
                  {
                    name: "Last request",
                    isNumber: true,
                    show: ({ lastRequestAtMs }) => agoText(lastRequestAtMs, now()),
                  },
                  { name: "Responses", isNumber: true, show: ({ responses }) => countText(responses) },
                  {
                    name: "Lists",
                    show: ({ lists }) =>
                      lists.map(({ key, rooms }) => `${key} ${countText(rooms)}`).join(", ") || "none",
                  },
                  { name: "Host", show: ({ host }) => host },
                  {
                    name: "",
                    show: ({ userId, deviceId, connId }) => (
                      <ConfirmedButton
                        name="Drop"
                        isDangerous
                        question={`End this connection of ${userId}? Its client starts over with its rooms.`}
                        act={() => api.dropConnection(userId, deviceId, connId)}
                        onDone={connections.refresh}
                      />
                    ),
                  },
                ]}
              />
              {next !== null && <p class="muted small">The first {items.length} are shown.</p>}
            </>
          )}
        </Await>
      </Section>
    </>
  );
}

function Named({ connId, dialect }: { connId: string; dialect: string }) {
  return (
    <span class="who">
      <span>{connectionName(connId)}</span>
      <span class="muted small">{dialect}</span>
    </span>
  );
}

function stateOf({ state, requestAgeMs }: ConnectionView) {
  return (
    <span>
      <span class={`key-dot part-${CONNECTION_COLOURS[state]}`} aria-hidden="true" /> {state}
      {requestAgeMs !== null && ` for ${durationText(requestAgeMs)}`}
    </span>
  );
}
