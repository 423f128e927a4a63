import { describe, expect, test } from "bun:test";
import { MAX_RETRY_AFTER_MS, classifyAnswer, parseRetryAfter } from "#src/homeserver/classify.ts";

const NOW = Date.UTC(2026, 0, 1, 12, 0, 0);

interface Row {
  status: number;
  body?: string;
  retryAfter?: string;
  isSync?: boolean;
  expected: Record<string, unknown>;
}

const ROWS: Row[] = [
  {
    status: 401,
    body: '{"errcode":"M_UNKNOWN_TOKEN","soft_logout":true}',
    expected: { kind: "auth", softLogout: true, body: '{"errcode":"M_UNKNOWN_TOKEN","soft_logout":true}' },
  },
  { status: 401, body: "<html>", expected: { kind: "auth", softLogout: false } },
  { status: 401, isSync: true, expected: { kind: "auth", softLogout: false } },
  { status: 403, isSync: true, expected: { kind: "auth", status: 403 } },
  { status: 403, body: '{"errcode":"M_FORBIDDEN"}', expected: { kind: "refused", errcode: "M_FORBIDDEN" } },
  { status: 400, body: '{"errcode":"M_UNKNOWN"}', isSync: true, expected: { kind: "refused", errcode: "M_UNKNOWN" } },
  { status: 404, isSync: true, expected: { kind: "refused", errcode: null, reason: "status 404" } },
  { status: 302, isSync: true, expected: { kind: "refused", status: 302 } },
  { status: 408, expected: { kind: "transient", retryAfterMs: 0 } },
  { status: 429, retryAfter: "7", expected: { kind: "transient", retryAfterMs: 7000 } },
  {
    status: 429,
    body: '{"errcode":"M_LIMIT_EXCEEDED","retry_after_ms":1500}',
    expected: { kind: "transient", retryAfterMs: 1500, reason: "status 429 M_LIMIT_EXCEEDED" },
  },
  { status: 429, body: '{"retry_after_ms":1500}', retryAfter: "3", expected: { retryAfterMs: 3000 } },
  { status: 429, retryAfter: "99999999", expected: { retryAfterMs: MAX_RETRY_AFTER_MS } },
  { status: 400, body: '{"errcode":"M_LIMIT_EXCEEDED"}', expected: { kind: "transient" } },
  { status: 500, expected: { kind: "transient", reason: "status 500" } },
  { status: 502, retryAfter: "Thu, 01 Jan 2026 12:00:30 GMT", expected: { kind: "transient", retryAfterMs: 30_000 } },
  { status: 503, body: '{"errcode":"secret text with spaces"}', expected: { reason: "status 503" } },
  { status: 524, expected: { kind: "transient" } },
];

describe("classifyAnswer", () => {
  for (const { status, body = "", retryAfter, isSync = false, expected } of ROWS) {
    test(`[UPS-1] ${status}${isSync ? " on sync" : ""} ${body} ${retryAfter ?? ""}`, () => {
      expect(classifyAnswer({ status, body, retryAfter: retryAfter ?? null }, isSync, NOW)).toMatchObject(expected);
    });
  }
});

describe("parseRetryAfter", () => {
  test.each([
    ["5", 5000],
    [" 0.5 ", 500],
    ["Thu, 01 Jan 2026 11:00:00 GMT", 0],
    ["soon", null],
    ["-5", null],
    ["", null],
    ["5 apples", null],
  ])("[UPS-2] %s", (value, expected) => {
    expect(parseRetryAfter(value, NOW)).toBe(expected);
  });
});
