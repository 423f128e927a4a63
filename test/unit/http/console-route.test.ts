import { describe, expect, test } from "bun:test";
import { consoleRoutes } from "#src/http/console-route.ts";
import type { ConsoleFile, ConsoleFiles, ConsoleSettings } from "#src/ports/console.ts";

const ORIGIN = "http://localhost";
const bytes = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(new TextEncoder().encode(text));

const PAGE: ConsoleFile = {
  path: "index.html",
  contentType: "text/html; charset=utf-8",
  etag: '"page"',
  isImmutable: false,
  bodies: { identity: bytes("<!doctype html>") },
};
const SCRIPT: ConsoleFile = {
  path: "index-abc.js",
  contentType: "text/javascript; charset=utf-8",
  etag: '"script"',
  isImmutable: true,
  bodies: { identity: bytes("plain"), gzip: bytes("zipped"), br: bytes("squeezed") },
};
const files: ConsoleFiles = {
  find: async (path) => [PAGE, SCRIPT].find((file) => file.path === (path === "" ? "index.html" : path)) ?? null,
};
const settings: ConsoleSettings = {
  version: "1.2.3",
  dialects: ["msc3575"],
  homeservers: ["https://hs.example.org/base", ""],
  hasAdmin: false,
  needsToken: false,
};
const app = consoleRoutes({ files, settings });

const get = (path: string, headers: Record<string, string> = {}, method = "GET"): Promise<Response> =>
  app.handle(new Request(ORIGIN + path, { method, headers }));

describe("consoleRoutes", () => {
  test("[CNS-1] the page is at /client/, and /client leads there", async () => {
    const page = await get("/client/");
    expect([page.status, page.headers.get("content-type"), await page.text()]).toEqual([
      200,
      "text/html; charset=utf-8",
      "<!doctype html>",
    ]);
    const bare = await get("/client");
    expect([bare.status, bare.headers.get("location")]).toEqual([308, "/client/"]);
  });

  test("[CNS-2] nothing but our own files runs, and nothing is asked but this server and its homeserver", async () => {
    for (const path of ["/client/", "/client/index-abc.js"]) {
      const { headers } = await get(path);
      const policy = headers.get("content-security-policy") ?? "";
      expect(policy.split("; ")).toEqual([
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self' https://hs.example.org",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
      ]);
      expect(headers.get("x-content-type-options")).toBe("nosniff");
      expect(headers.get("x-frame-options")).toBe("DENY");
      expect(headers.get("referrer-policy")).toBe("no-referrer");
      expect(headers.get("cross-origin-opener-policy")).toBe("same-origin");
      expect(headers.get("access-control-allow-origin")).toBe("*");
    }
  });

  test("[CNS-3] each browser gets the best encoding it takes", async () => {
    const cases: [accepted: string | null, encoding: string | null, body: string][] = [
      [null, null, "plain"],
      ["identity", null, "plain"],
      ["gzip, deflate", "gzip", "zipped"],
      ["gzip;q=1.0, BR;q=0.1", "br", "squeezed"],
      ["gzip, br;q=0", "gzip", "zipped"],
      ["br;q=0.000, gzip; q=0", null, "plain"],
    ];
    for (const [accepted, encoding, body] of cases) {
      const reply = await get("/client/index-abc.js", accepted === null ? {} : { "accept-encoding": accepted });
      expect([accepted, reply.headers.get("content-encoding"), await reply.text()]).toEqual([accepted, encoding, body]);
      expect(reply.headers.get("vary")).toBe("Accept-Encoding");
    }
    // A page that is kept in one encoding is served in that.
    expect((await get("/client/", { "accept-encoding": "br" })).headers.get("content-encoding")).toBeNull();
  });

  test("[CNS-4] named files are kept for ever, the page is asked for anew, and costs nothing when it is the same", async () => {
    expect((await get("/client/index-abc.js")).headers.get("cache-control")).toBe(
      "public, max-age=31536000, immutable",
    );
    const page = await get("/client/");
    expect([page.headers.get("cache-control"), page.headers.get("etag")]).toEqual(["no-cache", '"page"']);
    for (const header of ['"page"', 'W/"page"', '"other", "page"', "*"]) {
      const again = await get("/client/", { "if-none-match": header });
      expect([header, again.status, await again.text()]).toEqual([header, 304, ""]);
    }
    expect((await get("/client/", { "if-none-match": '"other"' })).status).toBe(200);
    const squeezed = await get("/client/index-abc.js", { "accept-encoding": "br" });
    expect(squeezed.headers.get("etag")).toBe('"script-br"');
    expect((await get("/client/index-abc.js", { "if-none-match": '"script-br"' })).status).toBe(200);
  });

  test("[CNS-5] console.json says what the console has to know", async () => {
    const reply = await get("/client/console.json");
    expect([reply.headers.get("cache-control"), await reply.json()]).toEqual(["no-cache", settings]);
  });

  test("[CNS-7] of what operators are served, other origins read nothing", async () => {
    const operators = consoleRoutes({ files, settings: { ...settings, homeservers: [], hasAdmin: true } });
    for (const path of ["/client/", "/client/console.json", "/client/index-abc.js"]) {
      const reply = await operators.handle(new Request(ORIGIN + path));
      expect([path, reply.status, reply.headers.get("access-control-allow-origin")]).toEqual([path, 200, null]);
      expect(reply.headers.get("content-security-policy")).toContain("connect-src 'self';");
    }
  });

  test("[CNS-6] other files are 404, other methods 405, HEAD has no body, OPTIONS is a preflight", async () => {
    const missing = await get("/client/nothing.js");
    expect([missing.status, await missing.json()]).toMatchObject([404, { errcode: "M_UNRECOGNIZED" }]);
    expect((await get("/client/%2e%2e/secret")).status).toBe(404);
    expect((await get("/client/", {}, "POST")).status).toBe(405);
    const head = await get("/client/", {}, "HEAD");
    expect([head.status, await head.text()]).toEqual([200, ""]);
    expect((await get("/client/index-abc.js", {}, "OPTIONS")).headers.get("access-control-max-age")).toBe("86400");
  });
});
