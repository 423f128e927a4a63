import { dialectOfConnection } from "#src/protocol/dialects/dialects.ts";
import { printable } from "#src/printable.ts";
import type { DeviceView, PollerView, UserView } from "./api.ts";

/** A user as `glissade explain` prints it; `isLive` false = there was no server to ask. */
export function explainText(view: UserView, nowMs: number, isLive: boolean): string {
  const rooms = Object.entries(view.rooms).map(([membership, count]) => `${count} ${membership}`);
  const lines = [
    `${view.userId}${view.isAllowed ? "" : " (not served: SYNCV3_ALLOW, SYNCV3_DENY)"}`,
    `  rooms: ${rooms.length === 0 ? "none" : rooms.join(", ")}`,
    ...view.devices.flatMap((device) => deviceLines(device, nowMs, isLive)),
    ...view.quarantined.map(
      ({ seenAtMs, section, roomId, reason }) =>
        `  set aside ${ago(seenAtMs, nowMs)}: ${section} ${roomId ?? ""} ${reason}`,
    ),
  ];
  const findings = view.findings.map((finding) => `  ! ${finding}`);
  const source = isLive
    ? ""
    : "\nFrom the database alone: no server was asked, so pollers and connections in memory are missing.\n";
  // Devices and connections are named by clients, reasons quote the homeserver.
  const told = findings.length === 0 ? ["Nothing looks wrong."] : findings;
  return `${[...lines, "", ...told].map(printable).join("\n")}\n${source}`;
}

function deviceLines(device: DeviceView, nowMs: number, isLive: boolean): string[] {
  const { deviceId, tokens, lastSeenAtMs, hasSynced, poller, oneTimeKeys, fallbackKeys } = device;
  const keys = Object.entries(oneTimeKeys ?? {}).map(([algorithm, count]) => `${count} ${algorithm}`);
  return [
    `  device ${deviceId === "" ? "(none: a token without device)" : deviceId}`,
    `    token: ${tokens === 0 ? `none${since(device.tokenlessSinceAtMs, nowMs)}` : `used ${lastSeenAtMs === null ? "never" : ago(lastSeenAtMs, nowMs)}`}`,
    `    first sync: ${hasSynced ? "stored" : "not stored"}${device.pausedAtMs === null ? "" : `; paused ${ago(device.pausedAtMs, nowMs)}`}`,
    ...(isLive ? [`    poller: ${poller === null ? "parked, or none" : pollerText(poller, nowMs)}`] : []),
    `    waiting for it: ${device.toDeviceMessages} to-device messages, ${device.deviceListChanges} device-list changes`,
    `    keys: ${keys.length === 0 ? "not told yet" : keys.join(", ")}; fallback ${fallbackKeys === null ? "not told yet" : fallbackKeys.join(", ") || "none unused"}`,
    ...device.connections.map(({ connId, lastUsedAtMs, live }) => {
      const { name, connScope } = dialectOfConnection(connId);
      const own = connId.slice(connScope.length);
      const state = live === null ? "" : `, ${live.state}, ${live.responses} responses`;
      return `    connection ${own === "" ? "(unnamed)" : own} (${name}): used ${ago(lastUsedAtMs, nowMs)}${state}`;
    }),
  ];
}

function pollerText(
  { state, stateSinceAtMs, failures, lastFailure, lastStoredAtMs, storing }: PollerView,
  nowMs: number,
): string {
  const parts = [
    `${state} since ${ago(stateSinceAtMs, nowMs)}`,
    lastStoredAtMs === null ? "nothing stored in this life" : `stored ${ago(lastStoredAtMs, nowMs)}`,
    ...(storing === null ? [] : [`${storing.roomsDone} of ${storing.roomsTotal} rooms stored`]),
    ...(failures === 0 ? [] : [`${failures} failures in a row, the last: ${lastFailure ?? "unknown"}`]),
  ];
  return parts.join(", ");
}

const since = (atMs: number | null, nowMs: number): string =>
  atMs === null || atMs === 0 ? "" : ` since ${ago(atMs, nowMs)}`;

const UNITS = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "min"],
] as const;

/** `3 min ago`, for people. */
function ago(atMs: number, nowMs: number): string {
  const ms = Math.max(0, nowMs - atMs);
  const unit = UNITS.find(([unitMs]) => ms >= unitMs);
  return unit === undefined ? `${Math.round(ms / 1000)} s ago` : `${Math.floor(ms / unit[0])} ${unit[1]} ago`;
}
