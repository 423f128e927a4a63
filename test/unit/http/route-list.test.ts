import { describe, expect, test } from "bun:test";
import { SYNC_ENDPOINTS, VERSIONS_PATH } from "#src/http/front-paths.ts";
import { PROXIES } from "#src/http/recipes/recipe.ts";
import { routesSnippet, routesTable } from "#src/http/route-list.ts";
import { tellOfOwnSlidingSync } from "#src/homeserver/own-sliding-sync.ts";
import type { UpstreamResult } from "#src/ports/homeserver.ts";
import { recordingLogger } from "#test/support/recording.ts";

const TCP = { kind: "tcp", host: "0.0.0.0", port: 8010 } as const;
const SOCKET = { kind: "unix", path: "/run/glissade.sock" } as const;

describe("glissade routes", () => {
  test("[RTE-1] the table has every path of ours, with its methods", () => {
    const table = routesTable(false);
    for (const { path, isShared, dialect } of SYNC_ENDPOINTS) {
      const line = table.split("\n").find((row) => row.includes(` ${path} `));
      expect(line).toStartWith(isShared ? "POST  " : "POST, OPTIONS  ");
      expect(line).toContain(dialect);
    }
    expect(table).toContain(VERSIONS_PATH);
    expect(table).toContain("--nginx, --caddy, --haproxy");
    expect(routesTable(true)).toContain("SYNCV3_FORWARD is on");
  });

  test("[RTE-2] each proxy gets the paths that are ours alone, and where we listen", () => {
    for (const proxy of PROXIES) {
      const snippet = routesSnippet(proxy, TCP, false);
      for (const { path, isShared } of SYNC_ENDPOINTS) expect(snippet.includes(path)).toBe(!isShared);
      expect(snippet).toContain(VERSIONS_PATH);
      expect(snippet).toContain("127.0.0.1:8010");
      expect(routesSnippet(proxy, { ...TCP, host: "::1" }, false)).toContain("[::1]:8010");
    }
    expect(routesSnippet("nginx", SOCKET, false)).toContain("proxy_pass http://unix:/run/glissade.sock;");
    expect(routesSnippet("caddy", SOCKET, false)).toContain("reverse_proxy @glissade unix//run/glissade.sock");
    expect(routesSnippet("haproxy", SOCKET, false)).toContain("server glissade unix@/run/glissade.sock");
  });
});

describe("glissade routes with SYNCV3_FORWARD=1", () => {
  test("[RTE-2] each proxy sends everything of the homeserver's here, bodies of any size", () => {
    for (const proxy of PROXIES) {
      const snippet = routesSnippet(proxy, TCP, true);
      for (const root of ["/_matrix/", "/_synapse/", "/.well-known/matrix/"]) expect(snippet).toContain(root);
      expect(snippet).not.toContain(VERSIONS_PATH);
    }
    expect(routesSnippet("nginx", TCP, true)).toContain("client_max_body_size 0;");
  });
});

describe("tellOfOwnSlidingSync", () => {
  const told = async (features: Record<string, boolean> | null, isForwarding = false) => {
    const log = recordingLogger();
    const versions = async (): Promise<
      UpstreamResult<{ versions: string[]; unstableFeatures: Record<string, boolean> }>
    > =>
      features === null
        ? { ok: false, failure: { kind: "transient", status: 0, retryAfterMs: 0, reason: "away" } }
        : { ok: true, value: { versions: [], unstableFeatures: features } };
    await tellOfOwnSlidingSync({ versions }, isForwarding, log);
    return log.lines;
  };

  test("[RTE-3] a homeserver with sliding sync of its own is told of, once, with the choice there is", async () => {
    const feature = { "org.matrix.simplified_msc3575": true };
    for (const isForwarding of [false, true]) {
      const lines = await told(feature, isForwarding);
      expect(lines).toMatchObject([{ level: "warn", message: "the homeserver has sliding sync of its own" }]);
      expect(String(lines[0]?.fields["advice"])).toContain("glissade routes");
    }
    expect(await told({ "org.matrix.simplified_msc3575": false })).toEqual([]);
    expect(await told({})).toEqual([]);
    expect(await told(null)).toEqual([]);
  });
});
