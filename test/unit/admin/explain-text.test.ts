import { expect, test } from "bun:test";
import type { UserView } from "#src/admin/api.ts";
import { explainText } from "#src/admin/explain-text.ts";

const NOW = 1_800_000_000_000;
/** Clears the screen, and writes what its author likes. */
const EVIL = "\u001B[2J\u001B[Hall is well\r\n";

test("[ADM-22] names that clients chose, and words of the homeserver, cannot move the cursor", () => {
  const view: UserView = {
    userId: "@alice:hs",
    isAllowed: true,
    rooms: { join: 1 },
    devices: [
      {
        deviceId: `DEV${EVIL}`,
        tokens: 1,
        lastSeenAtMs: NOW,
        tokenlessSinceAtMs: null,
        pausedAtMs: null,
        hasSynced: true,
        poller: null,
        toDeviceMessages: 0,
        deviceListChanges: 0,
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
