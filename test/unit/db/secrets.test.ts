import { describe, expect, test } from "bun:test";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "#test/support/database.ts";
import { deriveKeys, hashToken, loadOrCreateSecret, openToken, sealToken } from "#db/secrets.ts";

describe("secrets", () => {
  test("[SEC-1] a sealed token opens with its own key and row only", () => {
    const { tokenKey } = deriveKeys("secret", "epoch");
    const sealed = sealToken(tokenKey, "syt_tökén", "hash");
    expect(openToken(tokenKey, sealed, "hash")).toBe("syt_tökén");
    expect(openToken(tokenKey, sealed, "other")).toBeNull();
    expect(openToken(deriveKeys("Secret", "epoch").tokenKey, sealed, "hash")).toBeNull();
    expect(openToken(deriveKeys("secret", "epoch2").tokenKey, sealed, "hash")).toBeNull();
    expect(Buffer.from(sealed).includes("syt_")).toBe(false);
  });

  test("[SEC-2] a damaged or shortened seal opens to nothing", () => {
    const { tokenKey } = deriveKeys("secret", "epoch");
    const sealed = sealToken(tokenKey, "token", "hash");
    for (let i = 0; i < sealed.length; i++) {
      const damaged = Uint8Array.from(sealed);
      damaged[i] = (damaged[i] ?? 0) ^ 1;
      expect(openToken(tokenKey, damaged, "hash")).toBeNull();
      expect(openToken(tokenKey, sealed.subarray(0, i), "hash")).toBeNull();
    }
  });

  test("[SEC-3] the same token is never sealed the same way twice", () => {
    const { tokenKey } = deriveKeys("secret", "epoch");
    const seals = new Set(Array.from({ length: 50 }, () => Buffer.from(sealToken(tokenKey, "t", "h")).toString("hex")));
    expect(seals.size).toBe(50);
  });

  test("[SEC-4] keys for different purposes, secrets and databases differ; equal ones are equal", () => {
    const keys = [deriveKeys("a", "1"), deriveKeys("a", "2"), deriveKeys("b", "1")];
    const all = keys.flatMap(({ tokenKey, check, mac }) => [Buffer.from(tokenKey).toString("hex"), check, mac("x")]);
    expect(new Set(all).size).toBe(9);
    expect(deriveKeys("a", "1").mac("x")).toBe(keys[0]?.mac("x") ?? "");
  });

  test("[SEC-5] a token's hash is its SHA-256", () => {
    expect(hashToken("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  });

  test("[SEC-6] a generated secret is kept, and readable by its owner alone", async () => {
    await using directory = await temporaryDirectory();
    const dataDir = join(directory.path, "data");
    const secret = loadOrCreateSecret(dataDir);
    expect(secret.length).toBeGreaterThan(40);
    expect(loadOrCreateSecret(dataDir)).toBe(secret);
    expect(statSync(join(dataDir, "secret")).mode & 0o777).toBe(0o600);
    expect(readFileSync(join(dataDir, "secret"), "utf8")).toBe(`${secret}\n`);
  });

  test("[SEC-7] an emptied secret file is not silently replaced", async () => {
    await using directory = await temporaryDirectory();
    writeFileSync(join(directory.path, "secret"), "\n");
    expect(() => loadOrCreateSecret(directory.path)).toThrow("is empty");
  });
});
