import { durationText } from "../model/format.ts";
import type { AppState } from "../session/app-state.ts";
import type { Client } from "../session/client.ts";
import type { SyncStatus } from "../session/sync-connection.ts";

/** Names of the dialects as people know them. */
export const DIALECT_NAMES = { msc3575: "MSC3575", simplified: "Simplified", v4: "v4 (MSC4186)" } as const;

/** Who is logged in, in which dialect, and how the connection does. */
export function SessionBar({ state, client }: { state: AppState; client: Client }) {
  const { dialects } = state.settings;
  return (
    <>
      <Status status={client.status.value} />
      <label class="dialect">
        <span class="visually-hidden">Dialect</span>
        <select
          value={client.dialect}
          onChange={(event) => {
            const chosen = dialects.find((name) => name === event.currentTarget.value);
            if (chosen !== undefined) state.speak(chosen);
          }}
        >
          {dialects.map((name) => (
            <option key={name} value={name}>
              {DIALECT_NAMES[name]}
            </option>
          ))}
        </select>
      </label>
      <span class="user wide-only" title={client.account.deviceId}>
        {client.account.userId}
      </span>
    </>
  );
}

function Status({ status }: { status: SyncStatus }) {
  return (
    <span class={`status status-${status.kind.replace(" ", "-")}`} role="status">
      <span class="status-dot" aria-hidden="true" />
      {statusText(status)}
    </span>
  );
}

function statusText(status: SyncStatus): string {
  switch (status.kind) {
    case "starting":
      return "Starting";
    case "live":
      return "Live";
    case "retrying":
      return `${status.reason}; again in ${durationText(status.inMs)}`;
    case "logged out":
      return "Logged out elsewhere";
  }
}
