import { expect, test } from "bun:test";
import type { DeviceView, UserView } from "#src/admin/api.ts";
import { explainText } from "#src/admin/explain-text.ts";
import { SIMPLIFIED } from "#src/protocol/dialects/simplified.ts";
import { V4 } from "#src/protocol/dialects/v4.ts";

const NOW = 1_800_000_000_000;
/** Clears the screen, and writes what its author likes. */
const EVIL = "\u001B[2J\u001B[Hall is well\r\n";

const EMPTY_DEVICE: DeviceView = {
  deviceId: "DEV",
  tokens: 1,
  lastSeenAtMs: NOW,
  tokenlessSinceAtMs: null,
  pausedAtMs: null,
  hasSynced: true,
  poller: null,
  toDeviceMessages: 0,
  deviceListChanges: 0,
  oneTimeKeys: null,
  fallbackKeys: null,
  connections: [],
};

test("[ADM-22] names that clients chose, and words of the homeserver, cannot move the cursor", () => {
  const view: UserView = {
    userId: "@alice:hs",
    isAllowed: true,
    rooms: { join: 1 },
    devices: [
      {
        ...EMPTY_DEVICE,
        deviceId: `DEV${EVIL}`,
        oneTimeKeys: { [EVIL]: 1 },
        fallbackKeys: [EVIL],
        connections: [{ connId: `c${EVIL}`, lastUsedAtMs: NOW, live: null }],
      },
    ],
    quarantined: [
      { id: 1, seenAtMs: NOW, userId: "@alice:hs", deviceId: "D", roomId: EVIL, section: "rooms", reason: EVIL },
    ],
    findings: [`${EVIL}: look`],
  };
  const text = explainText(view, NOW, true);
  expect(text).not.toMatch(/[^\P{C}\n]/u);
  expect(text.split("\n")).toContain("  device DEV\uFFFD[2J\uFFFD[Hall is well\uFFFD\uFFFD");
  expect(explainText({ ...view, findings: [] }, NOW, true)).toEndWith("\n\nNothing looks wrong.\n");
});

test("[ADM-28] a connection goes by its client's own name and its dialect", () => {
  const connections = ["", "main", `${SIMPLIFIED.connScope}room-list`, V4.connScope].map((connId) => ({
    connId,
    lastUsedAtMs: NOW,
    live: null,
  }));
  const device = { ...EMPTY_DEVICE, connections };
  const view: UserView = {
    userId: "@a:hs",
    isAllowed: true,
    rooms: {},
    devices: [device],
    quarantined: [],
    findings: [],
  };
  const lines = explainText(view, NOW, false).split("\n");
  expect(lines.filter((line) => line.includes("connection ")).map((line) => line.trim().split(": used")[0])).toEqual([
    "connection (unnamed) (msc3575)",
    "connection main (msc3575)",
    "connection room-list (simplified)",
    "connection (unnamed) (v4)",
  ]);
});
