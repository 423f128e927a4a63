import type { QuarantineEntry, StoredDevice, StoredUser } from "#src/ports/admin-store.ts";
import type { UserId } from "#src/protocol/ids.ts";
import type { ConnectionView, DeviceView, PollerView, QuarantineView, UserView } from "./api.ts";

/** What is known of a user. */
export interface UserFacts {
  userId: UserId;
  isAllowed: boolean;
  stored: StoredUser;
  /** null = there was no server to ask: only storage speaks. */
  live: { pollers: readonly PollerView[]; connections: readonly ConnectionView[] } | null;
  quarantined: QuarantineView[];
}

/** So many messages that a device has not taken are more than a few minutes' worth. */
const MANY_TO_DEVICE = 1000;
/** A poller that has failed so often in a row is not having a hiccup. */
const MANY_FAILURES = 4;
const DAY_MS = 86_400_000;
/** A poll that is stored is followed by another one within 30 s. */
const STALE_POLL_MS = 5 * 60_000;

/** As operators see what was set aside. */
export const quarantineView = ({ seenMs, ...entry }: QuarantineEntry): QuarantineView => ({
  ...entry,
  seenAtMs: seenMs,
});

/** Puts together what is known of a user, and says what looks wrong. */
export function userView({ userId, isAllowed, stored, live, quarantined }: UserFacts, nowMs: number): UserView {
  const devices = stored.devices.map((device) => deviceView(device, live));
  const findings = [...ofUser(isAllowed, stored, quarantined), ...devices.flatMap((device) => ofDevice(device, nowMs))];
  return { userId, isAllowed, rooms: stored.rooms, devices, quarantined, findings };
}

function deviceView(device: StoredDevice, live: UserFacts["live"]): DeviceView {
  const { deviceId, lastSeenMs, tokenlessMs, pausedMs, otkCounts, fallbackKeyTypes, connections, ...rest } = device;
  const awake = live?.connections.filter((connection) => connection.deviceId === deviceId) ?? [];
  const views = connections.map(({ connId, lastUsedMs }) => ({
    connId: connId as string,
    lastUsedAtMs: lastUsedMs,
    live: awake.find((connection) => connection.connId === connId) ?? null,
  }));
  // Those that nothing is written down of yet.
  const unstored = awake
    .filter(({ connId }) => views.every((view) => view.connId !== connId))
    .map((connection) => ({ connId: connection.connId, lastUsedAtMs: connection.lastRequestAtMs, live: connection }));
  return {
    deviceId,
    ...rest,
    lastSeenAtMs: lastSeenMs,
    tokenlessSinceAtMs: tokenlessMs,
    pausedAtMs: pausedMs,
    poller: live?.pollers.find((poller) => poller.deviceId === deviceId) ?? null,
    oneTimeKeys: countsOf(otkCounts),
    fallbackKeys: namesOf(fallbackKeyTypes),
    connections: [...views, ...unstored],
  };
}

function ofUser(isAllowed: boolean, { devices, rooms }: StoredUser, quarantined: readonly QuarantineView[]): string[] {
  const findings: string[] = [];
  if (!isAllowed) findings.push("SYNCV3_ALLOW or SYNCV3_DENY keeps this user out: every request is answered 403.");
  if (devices.length === 0) findings.push("No device of this user has synced here yet, or the user id is misspelt.");
  else if ((rooms["join"] ?? 0) === 0 && devices.some(({ hasSynced }) => hasSynced)) {
    findings.push(
      "The homeserver told of no room the user is in: the list is empty because of that. If it should not be, run glissade resync user.",
    );
  }
  if (quarantined.length > 0) {
    findings.push(`${quarantined.length} of the newest things set aside came for this user: see their reasons.`);
  }
  return findings;
}

function ofDevice(device: DeviceView, nowMs: number): string[] {
  const { deviceId, poller } = device;
  const findings: string[] = [];
  const say = (text: string): void =>
    void findings.push(`${deviceId === "" ? "A token without device" : deviceId}: ${text}`);
  if (device.pausedAtMs !== null) say("an operator has paused it, so that nothing new arrives: resume it.");
  else if (device.tokens === 0)
    say("there is no access token of it any more: it has logged out, or has to log in again.");
  else if (!device.hasSynced && poller === null)
    say("its first sync has not been stored, and nothing runs: it has not asked lately.");
  if (poller !== null && poller.failures >= MANY_FAILURES) {
    say(
      `polling fails (${poller.failures} times in a row, last: ${poller.lastFailure ?? "unknown"}): look at the homeserver.`,
    );
  } else if (poller?.state === "queued") say("it waits for its turn at a first sync: SYNCV3_FIRST_SYNCS run at once.");
  else if (
    poller?.hasSynced === true &&
    nowMs - (poller.lastStoredAtMs ?? poller.startedAtMs) > STALE_POLL_MS &&
    poller.state !== "paused"
  ) {
    say("nothing has been stored of it for minutes: see what its poller is doing.");
  }
  if (device.toDeviceMessages >= MANY_TO_DEVICE) {
    say(
      `${device.toDeviceMessages} to-device messages wait: its client does not take them, and keys may be among them.`,
    );
  }
  const counted = device.oneTimeKeys?.["signed_curve25519"];
  if (counted === 0 && device.fallbackKeys?.length === 0) {
    say("it has no one-time keys left and no fallback key: others cannot send it keys until its client uploads some.");
  }
  if (device.lastSeenAtMs !== null && nowMs - device.lastSeenAtMs > DAY_MS)
    say("its token has not been used for more than a day.");
  return findings;
}

function countsOf(json: string | null): Record<string, number> | null {
  const value = parse(json);
  if (typeof value !== "object" || value === null || Array.isArray(value)) return null;
  return Object.fromEntries(
    Object.entries(value as Record<string, unknown>).filter(
      (entry): entry is [string, number] => typeof entry[1] === "number",
    ),
  );
}

function namesOf(json: string | null): string[] | null {
  const value = parse(json);
  return Array.isArray(value) ? value.filter((name) => typeof name === "string") : null;
}

/** What the homeserver sent, if it can be read. */
function parse(json: string | null): unknown {
  if (json === null) return null;
  try {
    return JSON.parse(json);
  } catch {
    return null;
  }
}
