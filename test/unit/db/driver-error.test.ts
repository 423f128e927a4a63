import { describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import { translateDriverError } from "#db/driver-error.ts";

const driverError = (code: string, fields: Record<string, unknown> = {}): Error =>
  Object.assign(new Error(`message of ${code}`), { code, ...fields });

describe("translateDriverError", () => {
  for (const code of [
    "ECONNREFUSED",
    "CONNECTION_CLOSED",
    "EPIPE",
    "CONNECT_TIMEOUT",
    "08006",
    "57P01",
    "57014",
    "53300",
    "53100",
    "28P01",
    "3D000",
    "40P01",
  ]) {
    test(`[DBE-1] ${code} says that the database cannot be used`, () => {
      expect(translateDriverError(driverError(code))).toMatchObject({ code: "storage_unavailable" });
    });
  }
  for (const code of ["42601", "42P01", "23505", "22P02"]) {
    test(`[DBE-2] ${code} is a fault of ours`, () => {
      expect(translateDriverError(driverError(code))).toMatchObject({ code: "internal" });
    });
  }

  test("[DBE-3] neither data nor statement are in what others see", () => {
    const secret = "syt_secret";
    const error = Object.assign(new Error(`invalid input syntax: "${secret}"`), {
      code: "22P02",
      detail: secret,
      query: secret,
      parameters: [secret],
      table_name: "tokens",
    });
    const seen = translateDriverError(error);
    expect(Bun.inspect(seen)).not.toContain(secret);
    expect(JSON.stringify(seen)).not.toContain(secret);
    expect(seen.message).toContain("22P02");
    expect(seen.message).toContain("tokens");
  });

  test("[DBE-5] a code is said once, whether or not the message holds it", () => {
    const refused = Object.assign(new Error("connect ECONNREFUSED 127.0.0.1:5432"), { code: "ECONNREFUSED" });
    const said = "the database cannot be used:";
    expect(translateDriverError(refused).message).toBe(`${said} connect ECONNREFUSED 127.0.0.1:5432`);
    const lost = Object.assign(new Error("terminating connection"), { code: "57P01" });
    expect(translateDriverError(lost).message).toBe(`${said} 57P01 terminating connection`);
  });

  test("[DBE-4] our own errors pass unchanged, and odd ones become internal", () => {
    const own = new SyncError("storage_unavailable", "closed");
    expect(translateDriverError(own)).toBe(own);
    expect(translateDriverError("text")).toMatchObject({ code: "internal" });
    expect(translateDriverError(new TypeError("bug"))).toMatchObject({ code: "internal" });
  });
});
