import { describe, expect, test } from "bun:test";
import { cp, mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { bundleConsole } from "#src/console/bundle.ts";
import { openConsoleFiles } from "#src/console/console-files.ts";
import { adminConsole, clientConsole } from "#src/console/console-settings.ts";
import { embeddedNameOf, embeddedPartOf } from "#src/console/embedded-name.ts";

const ROOT = new URL("../../..", import.meta.url).pathname;

const embedded = (path: string, encoding: "identity" | "gzip", content: Uint8Array<ArrayBuffer>) => ({
  name: embeddedNameOf({ path, encoding }),
  bytes: async () => content,
});
const bytes = (text: string): Uint8Array<ArrayBuffer> => new Uint8Array(new TextEncoder().encode(text));

describe("openConsoleFiles", () => {
  test("[CNS-10] the executable serves what the build put into it, in each encoding", async () => {
    const zipped = new Uint8Array(gzipSync(bytes("script")));
    const files = openConsoleFiles(
      [
        { name: "empty-database.zst", bytes: async () => bytes("not ours") },
        embedded("index.html", "identity", bytes("page")),
        embedded("a-1.js", "identity", bytes("script")),
        embedded("a-1.js", "gzip", zipped),
      ],
      "/nowhere",
    );
    const page = await files.find("");
    const script = await files.find("a-1.js");
    expect([page?.path, page?.isImmutable, page?.contentType]).toEqual([
      "index.html",
      false,
      "text/html; charset=utf-8",
    ]);
    expect([script?.isImmutable, script?.contentType]).toEqual([true, "text/javascript; charset=utf-8"]);
    expect(gunzipSync(script?.bodies.gzip ?? bytes("")).toString()).toBe("script");
    expect(page?.etag).not.toBe(script?.etag);
    expect(await files.find("empty-database.zst")).toBeNull();
  });

  test("[CNS-11] from source the console is bundled: one page, one script, one style sheet, and nothing from elsewhere", async () => {
    const files = openConsoleFiles([], ROOT);
    const page = new TextDecoder().decode((await files.find(""))?.bodies.identity);
    const named = [...page.matchAll(/(?:src|href)="\.\/([^"]+)"/g)].map((match) => match[1] ?? "");
    expect(named.map((name) => name.replace(/-[a-z0-9]+\./, "."))).toEqual(["icon.svg", "index.css", "index.js"]);
    for (const name of named) {
      const file = await files.find(name);
      expect([name, file?.isImmutable]).toEqual([name, true]);
      const text = new TextDecoder().decode(file?.bodies.identity);
      expect(text.includes("sourceMappingURL")).toBe(false);
      // Namespaces of SVG and MathML are names, not places.
      const places = [...text.matchAll(/https?:\/\/[a-z0-9.]+/g)].map(([place]) => place);
      expect(places.filter((place) => place !== "http://www.w3.org")).toEqual([]);
    }
    expect(page).not.toMatch(/<script>|style=|onload=/);
  });

  test("[CNS-15] the same sources have the same files and names, wherever the checkout lies", async () => {
    const elsewhere = await mkdtemp(join(tmpdir(), "glissade-checkout-"));
    try {
      for (const name of ["web", "src", "package.json", "tsconfig.json"]) {
        await cp(join(ROOT, name), join(elsewhere, name), { recursive: true });
      }
      await symlink(join(ROOT, "node_modules"), join(elsewhere, "node_modules"));
      const [here, there] = await Promise.all([bundleConsole(ROOT), bundleConsole(elsewhere)]);
      expect(there.map(({ path }) => path)).toEqual(here.map(({ path }) => path));
      expect(there.map(({ bytes }) => Bun.hash(bytes))).toEqual(here.map(({ bytes }) => Bun.hash(bytes)));
    } finally {
      await rm(elsewhere, { recursive: true, force: true });
    }
  });

  test("[CNS-12] names in the executable tell path and encoding", () => {
    for (const part of [
      { path: "index.html", encoding: "identity" },
      { path: "index-a+b.js", encoding: "br" },
    ] as const) {
      expect(embeddedPartOf(embeddedNameOf(part))).toEqual(part);
    }
    for (const name of ["empty-database.zst", "console+index.html+zstd", "other+index.html+br"]) {
      expect(embeddedPartOf(name)).toBeNull();
    }
  });
});

describe("clientConsole", () => {
  const place = { isForwarding: false, publicServer: null, homeserver: { url: "http://hs:8008", socketPath: null } };
  const homeservers = (more: Partial<typeof place> | { publicServer: string }): readonly string[] =>
    clientConsole({ ...place, ...more }, "1", ["v4"]).homeservers;

  test("[CNS-13] browsers are told where the homeserver is: here, at its public address, or where we find it ourselves", () => {
    expect(homeservers({ isForwarding: true })).toEqual([""]);
    expect(homeservers({})).toEqual(["http://hs:8008", ""]);
    expect(homeservers({ publicServer: "https://hs.example.org" })).toEqual(["https://hs.example.org", ""]);
    const socket = { url: "http://unix", socketPath: "/run/hs.sock" };
    expect(clientConsole({ ...place, homeserver: socket }, "1", []).homeservers).toEqual([""]);
  });

  test("[CNS-14] where operators are served nobody syncs", () => {
    for (const needsToken of [true, false]) {
      const settings = { version: "1.2", dialects: [], homeservers: [], hasAdmin: true, needsToken };
      expect(adminConsole("1.2", needsToken)).toEqual(settings);
    }
    expect(clientConsole(place, "1.2", ["v4"])).toMatchObject({ version: "1.2", dialects: ["v4"], hasAdmin: false });
  });
});
