import { expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { join } from "node:path";

const read = (name: string): string => readFileSync(join(import.meta.dir, "../../..", name), "utf8");

test("[CI-4] .bun-version, packageManager, the container image and the running Bun agree", () => {
  const pinned = read(".bun-version").trim();
  const manifest: unknown = JSON.parse(read("package.json"));
  expect(pinned).toMatch(/^\d+\.\d+\.\d+$/u);
  expect(manifest).toMatchObject({ packageManager: `bun@${pinned}` });
  expect(/^ARG BUILD_BASE=\S+\/bun:(\d+\.\d+\.\d+)/mu.exec(read("Dockerfile"))?.[1]).toBe(pinned);
  expect(Bun.version).toBe(pinned);
});
