import { useState } from "preact/hooks";
import type { DeviceView, UserView } from "#src/admin/api.ts";
import { agoText, connectionName, countText } from "../model/format.ts";
import { addressOf, currentDetail } from "../ui/navigation.ts";
import { Await, type PageProps, Section, Table, Tile } from "./parts.tsx";
import { useLive } from "./use-live.ts";

const EVERY_MS = 5000;

/** All there is to know of one user. */
export function UsersPage({ api, now }: PageProps) {
  const userId = currentDetail.value;
  const [typed, setTyped] = useState(userId);
  return (
    <>
      <form
        class="inline-form"
        onSubmit={(event) => {
          event.preventDefault();
          location.hash = `${addressOf("users")}/${encodeURIComponent(typed.trim())}`;
        }}
      >
        <label class="grow">
          User id
          <input
            placeholder="@user:server"
            autocapitalize="none"
            spellcheck={false}
            required
            value={typed}
            onInput={(event) => setTyped(event.currentTarget.value)}
          />
        </label>
        <button type="submit" class="button">
          Look
        </button>
      </form>
      {userId !== "" && <User key={userId} userId={userId} api={api} now={now} />}
    </>
  );
}

function User({ userId, api, now }: PageProps & { userId: string }) {
  const live = useLive<UserView>(api, `/users/${encodeURIComponent(userId)}`, EVERY_MS);
  return (
    <Await live={live}>
      {(user) => (
        <>
          {user.findings.length > 0 && (
            <ul class="notice findings">
              {user.findings.map((finding) => (
                <li key={finding}>{finding}</li>
              ))}
            </ul>
          )}
          <div class="tiles">
            {Object.entries(user.rooms).map(([membership, count]) => (
              <Tile key={membership} name={`Rooms: ${membership}`} value={countText(count)} />
            ))}
            <Tile name="Devices" value={countText(user.devices.length)} />
            <Tile name="Quarantined" value={countText(user.quarantined.length)} />
          </div>
          <Section title="Devices">
            <Devices devices={user.devices} nowMs={now()} />
          </Section>
        </>
      )}
    </Await>
  );
}

function Devices({ devices, nowMs }: { devices: readonly DeviceView[]; nowMs: number }) {
  return (
    <Table
      label="Devices"
      rows={devices}
      keyOf={({ deviceId }) => deviceId}
      empty="No device of this user is known here."
      columns={[
        { name: "Device", show: ({ deviceId }) => (deviceId === "" ? "no device" : deviceId) },
        { name: "Poller", show: pollerText },
        { name: "Seen", isNumber: true, show: ({ lastSeenAtMs }) => agoText(lastSeenAtMs, nowMs) },
        { name: "Tokens", isNumber: true, show: ({ tokens }) => countText(tokens) },
        { name: "To-device", isNumber: true, show: ({ toDeviceMessages }) => countText(toDeviceMessages) },
        { name: "Device lists", isNumber: true, show: ({ deviceListChanges }) => countText(deviceListChanges) },
        {
          name: "Connections",
          show: ({ connections }) => connections.map(({ connId }) => connectionName(connId)).join(", "),
        },
      ]}
    />
  );
}

function pollerText({ poller, pausedAtMs, hasSynced }: DeviceView): string {
  if (pausedAtMs !== null) return "paused";
  if (poller !== null) return poller.state;
  return hasSynced ? "parked" : "has not synced";
}
