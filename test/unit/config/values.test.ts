import { describe, expect, test } from "bun:test";
import { editDistance, nearestName } from "#src/config/nearest-name.ts";
import {
  parseBindAddress,
  parseDatabase,
  parseHttpUrl,
  parseIdleTime,
  parseKept,
  parseServer,
  parseSwitch,
} from "#src/config/values.ts";

const valueOf = <T>(parsed: { value: T } | { advice: string }): T | "refused" =>
  "value" in parsed ? parsed.value : "refused";

test("[CFG-28] a switch is on or off, however it is written", () => {
  for (const text of ["1", "true", "ON", "yes"]) expect(parseSwitch(text)).toEqual({ value: true });
  for (const text of ["0", "False", "off", "no"]) expect(parseSwitch(text)).toEqual({ value: false });
  for (const text of ["2", "maybe"]) expect(parseSwitch(text)).toHaveProperty("advice");
});

describe("parseBindAddress", () => {
  test.each([
    ["0.0.0.0:8008", { kind: "tcp", host: "0.0.0.0", port: 8008 }],
    [":9000", { kind: "tcp", host: "0.0.0.0", port: 9000 }],
    ["localhost:80", { kind: "tcp", host: "localhost", port: 80 }],
    ["[::1]:8008", { kind: "tcp", host: "::1", port: 8008 }],
    ["[::]:8008", { kind: "tcp", host: "::", port: 8008 }],
    ["/run/glissade/sock", { kind: "unix", path: "/run/glissade/sock" }],
    ["8008", "refused"],
    ["::1:8008", "refused"],
    ["host:70000", "refused"],
    ["host:", "refused"],
    ["http://host:80", "refused"],
  ])("[CFG-20] %s", (text, expected) => {
    expect(valueOf(parseBindAddress(text))).toEqual(expected as never);
  });
});

describe("parseServer", () => {
  test.each([
    ["https://hs.example.org", "https://hs.example.org"],
    ["http://localhost:8008/", "http://localhost:8008"],
    ["https://example.org/matrix//", "https://example.org/matrix"],
    ["/run/hs.sock", "http://unix"],
    ["hs.example.org", "refused"],
    ["ftp://hs", "refused"],
    ["https://u:p@hs", "refused"],
    ["https://hs/?x=1", "refused"],
    ["localhost:8008", "refused"],
  ])("[CFG-21] %s", (text, expected) => {
    const parsed = parseServer(text);
    expect("value" in parsed ? parsed.value.url : "refused").toBe(expected);
  });

  test("[CFG-22] a bare host name is given back with a scheme", () => {
    const parsed = parseHttpUrl("hs.example.org:8448");
    expect("advice" in parsed && parsed.advice).toContain("https://hs.example.org:8448");
  });
});

describe("parseIdleTime", () => {
  test.each([
    ["5m", 300_000],
    ["12h", 43_200_000],
    ["7d", 604_800_000],
    ["never", null],
    ["4m", "refused"],
    ["30", "refused"],
    ["1w", "refused"],
    ["-1d", "refused"],
  ])("[CFG-23] %s", (text, expected) => {
    expect(valueOf(parseIdleTime(text))).toBe(expected as never);
  });
});

describe("parseKept", () => {
  test.each([
    ["500", 500],
    ["10000", 10_000],
    ["all", null],
    ["499", "refused"],
    ["0", "refused"],
    ["many", "refused"],
  ])("[CFG-61] %s", (text, expected) => {
    expect(valueOf(parseKept(text))).toBe(expected as never);
  });
});

describe("parseDatabase", () => {
  test.each([
    ["postgres://u:p@h/d", true],
    ["postgresql:///d?host=/run/postgresql", true],
    ["host=/run/postgresql user=u", true],
    ["sslmode = disable dbname = x", true],
    ["mysql://u@h/d", false],
    ["./file.sqlite", false],
  ])("[CFG-24] %s", (text, accepted) => {
    expect("value" in parseDatabase(text)).toBe(accepted);
  });
});

describe("nearestName", () => {
  test("[CFG-25] edit distance counts single changes", () => {
    expect(editDistance("kitten", "sitting")).toBe(3);
    expect(editDistance("", "abc")).toBe(3);
    expect(editDistance("same", "same")).toBe(0);
  });

  test("[CFG-26] names that are far from all known ones have no nearest", () => {
    expect(nearestName("SYNCV3_SERVR", ["SYNCV3_SERVER", "SYNCV3_SECRET"])).toBe("SYNCV3_SERVER");
    expect(nearestName("entirely-different", ["SYNCV3_SERVER"])).toBeNull();
  });
});
