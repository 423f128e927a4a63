import { expect, test } from "bun:test";
import { logRequest, newRecord } from "#src/http/request-log.ts";
import { recordingLogger } from "#test/support/recording.ts";

test("[LOG-20] docs/log-format.md explains every field of the request line", async () => {
  const page = await Bun.file(new URL("../../../docs/log-format.md", import.meta.url)).text();
  const log = recordingLogger();
  const full = {
    ...newRecord("POST", "/p", "msc3575"),
    userId: "u",
    deviceId: "d",
    connId: "c",
    posIn: "1",
    posOut: "2",
    txnId: "t",
    waitedMs: 1,
    rooms: 1,
    ops: 1,
    bytes: 1,
    traceId: "x",
  };
  logRequest(log, full, { status: 500, durationMs: 1, errorCode: "internal", error: "e" });
  const fields = Object.keys(log.lines[0]?.fields ?? {});
  expect(fields.length).toBe(17);
  for (const field of fields) expect(page).toContain(`\`${field}\``);
});
