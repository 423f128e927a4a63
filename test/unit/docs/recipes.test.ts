import { describe, expect, test } from "bun:test";
import { join } from "node:path";
import { PROXIES } from "#src/http/recipes/recipe.ts";
import type { ProxyName } from "#src/http/recipes/recipe.ts";
import { routesSite, routesSnippet } from "#src/http/route-list.ts";

const ROOT = join(import.meta.dir, "../../..");
const ENDINGS: Readonly<Record<ProxyName, string>> = {
  nginx: "conf",
  caddy: "Caddyfile",
  haproxy: "cfg",
  apache: "conf",
};

describe("deploy/", () => {
  for (const proxy of PROXIES) {
    for (const isForwarding of [false, true]) {
      const path = `deploy/${proxy}/${isForwarding ? "in-front" : "shared"}.${ENDINGS[proxy]}`;

      test(`[RTE-5] ${path} says what glissade routes prints`, async () => {
        const site = routesSite(proxy, isForwarding);
        const file = Bun.file(join(ROOT, path));
        if (process.env["UPDATE_DOCS"] !== undefined) await Bun.write(file, site);
        expect(await file.text()).toBe(site);
        const bare = (text: string): string[] =>
          text
            .split("\n")
            .map((line) => line.trim())
            .filter((line) => line !== "" && !line.startsWith("#"));
        const bind = { kind: "tcp", host: "127.0.0.1", port: 8009 } as const;
        const printed = bare(routesSnippet(proxy, bind, isForwarding));
        expect(bare(site)).toEqual(expect.arrayContaining(printed));
      });
    }
  }
});
