import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { connect } from "node:tls";
import { PROXIES } from "#src/http/recipes/recipe.ts";
import type { ProxyName } from "#src/http/recipes/recipe.ts";
import { BROKEN_SITES, IMPATIENT_SITES } from "#test/support/broken-sites.ts";
import type { BrokenSite } from "#test/support/broken-sites.ts";
import { DEBIAN_PACKAGES, debianPackages } from "#test/support/debian.ts";
import type { DoctorRun } from "#test/support/doctor-run.ts";
import { ProxiedWorld } from "#test/support/proxied-world.ts";
import { TEST_NAME } from "#test/support/reverse-proxy.ts";
import type { ReverseProxy } from "#test/support/reverse-proxy.ts";
import type { SynapseUser } from "#test/support/synapse.ts";
import { synapseProblem } from "#test/support/synapse.ts";
import { until } from "#test/support/until.ts";

const LIMIT_MS = 400_000;
const MIB = 1024 * 1024;
const SIMPLIFIED = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const SYNCS = {
  MSC3575: "/_matrix/client/unstable/org.matrix.msc3575/sync",
  simplified: SIMPLIFIED,
  MSC4186: "/_matrix/client/v4/sync",
} as const;
const LISTS = { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [["m.room.name", ""]] } };
const V4_LISTS = {
  all: { range: [0, 9], timeline_limit: 1, required_state: { include: [{ type: "m.room.name", state_key: "" }] } },
};
/** How long somebody would wait who hangs up instead. */
const PARKED_MS = 60_000;
/** At once: more would measure the machine. */
const AT_ONCE = 4;

const problem = synapseProblem() ?? (await debianPackages(DEBIAN_PACKAGES.proxies));

/** A site as it ships, and what is under way there for a minute. */
interface ShippedSite {
  title: string;
  proxy: ProxyName;
  isForwarding: boolean;
  site: ReverseProxy;
  examined: Promise<DoctorRun>;
  longPolls: Promise<{ status: number; tookMs: number }[]>;
}

/** What came of a minute, whenever it is looked at. */
const kept = <T>(promise: Promise<T>): Promise<T> => {
  promise.catch(() => undefined);
  return promise;
};

describe.skipIf(problem !== null)(`reverse proxies of Debian${problem === null ? "" : ` (${problem})`}`, () => {
  let world: ProxiedWorld;
  let alice: SynapseUser;
  /** An account to whom nothing happens. */
  let quiet: SynapseUser;
  let authority: string;
  const shipped: ShippedSite[] = [];
  const broken = new Map<string, Promise<DoctorRun>>();

  /** A request to a site, by its real name and with its certificate checked. */
  const call = (site: ReverseProxy, path: string, init: RequestInit = {}, user = alice): Promise<Response> =>
    fetch(`https://127.0.0.1:${site.port}${path}`, {
      ...init,
      headers: {
        authorization: `Bearer ${user.accessToken}`,
        host: `${TEST_NAME}:${site.port}`,
        ...(init.headers as Record<string, string> | undefined),
      },
      tls: { ca: authority, serverName: TEST_NAME },
    } as RequestInit);

  const sync = (site: ReverseProxy, path: string, connId: string, query: string, user = alice): Promise<Response> => {
    const body = JSON.stringify({ conn_id: connId, lists: path === SYNCS.MSC4186 ? V4_LISTS : LISTS });
    const headers = { "content-type": "application/json" };
    return call(site, `${path}?${query}`, { method: "POST", headers, body }, user);
  };

  const posOf = async (site: ReverseProxy, path: string, connId: string, user = alice): Promise<string> =>
    ((await (await sync(site, path, connId, "timeout=0", user)).json()) as { pos: string }).pos;

  /** Nothing happens for a minute, in both dialects that take their timeout from the query. */
  async function longPolls(site: ReverseProxy, connId: string) {
    return Promise.all(
      [SYNCS.MSC3575, SYNCS.simplified].map(async (path) => {
        const pos = await posOf(site, path, connId, quiet);
        const startedMs = performance.now();
        const answer = await sync(site, path, connId, `timeout=60000&pos=${pos}`, quiet);
        await answer.arrayBuffer();
        return { status: answer.status, tookMs: performance.now() - startedMs };
      }),
    );
  }

  async function examineBroken({ site, args = [] }: BrokenSite, ...more: string[]): Promise<DoctorRun> {
    return world.examine(await world.site(await site(world)), ...args, ...more);
  }

  /** Few at once, in order; each test waits for its own. */
  function examineAll(sites: readonly BrokenSite[]): void {
    const waiting = sites.map((each) => ({ each, ...Promise.withResolvers<DoctorRun>() }));
    for (const { each, promise } of waiting) broken.set(each.title, kept(promise));
    const work = async (): Promise<void> => {
      for (let next = waiting.shift(); next !== undefined; next = waiting.shift()) {
        await examineBroken(next.each, "--quick").then(next.resolve, next.reject);
      }
    };
    for (let worker = 0; worker < AT_ONCE; worker += 1) void work();
  }

  beforeAll(async () => {
    world = await ProxiedWorld.start();
    authority = readFileSync(world.authority.rootPath, "utf8");
    alice = await world.synapse.register("alice");
    quiet = await world.synapse.register("quiet");
    for (const user of [alice, quiet]) await user.createRoom({ name: "Behind proxies" });
    const token = await world.secretFile("token", quiet.accessToken);
    for (const proxy of PROXIES) {
      for (const isForwarding of [false, true]) {
        const site = await world.site({ proxy, isForwarding });
        const connId = `${proxy}${isForwarding ? 1 : 0}`;
        const examined = kept(world.examine(site, "--token-file", token));
        const title = `${proxy}, ${isForwarding ? "Glissade in front" : "a name shared"}`;
        shipped.push({ title, proxy, isForwarding, site, examined, longPolls: kept(longPolls(site, connId)) });
      }
    }
    for (const each of IMPATIENT_SITES) broken.set(each.title, kept(examineBroken(each)));
    examineAll(BROKEN_SITES);
  }, LIMIT_MS);
  afterAll(() => world?.stop(), LIMIT_MS);

  const each = (work: (site: ShippedSite) => Promise<void>) => async (): Promise<void> => {
    for (const site of shipped) {
      await work(site).catch((error: unknown) => {
        throw new Error(`${site.title}: ${String(error)}`, { cause: error });
      });
    }
  };

  test(
    "[RVP-1] every dialect finds the account's rooms through every site",
    each(async ({ site, proxy, isForwarding }) => {
      for (const [dialect, path] of Object.entries(SYNCS)) {
        const answer = await sync(site, path, `r${proxy}${isForwarding ? 1 : 0}`, "timeout=0");
        const { rooms } = (await answer.json()) as { rooms: Record<string, { name?: string }> };
        expect([dialect, answer.status, Object.values(rooms).map(({ name }) => name)]).toEqual([
          dialect,
          200,
          ["Behind proxies"],
        ]);
      }
    }),
    LIMIT_MS,
  );

  test(
    "[RVP-2] an alias with slashes, hashes and percent signs is made and found",
    each(async ({ site, proxy, isForwarding }) => {
      const alias = `#${proxy}${isForwarding ? 1 : 0}/b%2Fc#d+ü..//:localhost`;
      const path = `/_matrix/client/v3/directory/room/${encodeURIComponent(alias)}`;
      const roomId = await alice.createRoom({});
      const put = await call(site, path, { method: "PUT", body: JSON.stringify({ room_id: roomId }) });
      expect([put.status, await put.text()]).toEqual([200, "{}"]);
      expect(await (await call(site, path)).json()).toMatchObject({ room_id: roomId });
      await alice.leave(roomId);
    }),
    LIMIT_MS,
  );

  test(
    "[RVP-3] 50 MiB of media go up and come down whole",
    each(async ({ site }) => {
      const media = randomBytes(50 * MIB);
      const up = await call(site, "/_matrix/media/v3/upload?filename=large.bin", {
        method: "POST",
        headers: { "content-type": "application/octet-stream" },
        body: media,
      });
      expect(up.status).toBe(200);
      const { content_uri } = (await up.json()) as { content_uri: string };
      const down = await call(site, `/_matrix/client/v1/media/download/${content_uri.slice("mxc://".length)}`);
      expect(Buffer.from(await down.arrayBuffer()).equals(media)).toBe(true);
    }),
    LIMIT_MS,
  );

  test(
    "[RVP-4] who asks for another protocol gets an answer in this one",
    each(async ({ site }) => {
      for (const path of [SIMPLIFIED, "/_matrix/client/v3/sync", VERSIONS]) {
        const upgrade =
          "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n";
        const line = await firstLine(site, `GET ${path} HTTP/1.1\r\nHost: ${TEST_NAME}:${site.port}\r\n${upgrade}\r\n`);
        const status = Number(line.split(" ")[1]);
        expect([path, status, status >= 200 && status < 502]).toEqual([path, status, true]);
      }
    }),
    LIMIT_MS,
  );

  test(
    "[RVP-5] who hangs up is known to be gone behind nginx, Caddy and HAProxy; behind Apache the next request takes its place",
    each(async ({ site, proxy, isForwarding }) => {
      const connId = `a${proxy}${isForwarding ? 1 : 0}`;
      const at = isForwarding ? "fronting" : "sharing";
      const isGone = (): boolean =>
        world[at].output.split("\n").some((line) => line.includes('"status":499') && line.includes(`${connId}"`));
      const pos = await posOf(site, SIMPLIFIED, connId);
      const hangUp = new AbortController();
      const body = JSON.stringify({ conn_id: connId, lists: LISTS });
      const parked = call(site, `${SIMPLIFIED}?timeout=${PARKED_MS}&pos=${pos}`, {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        signal: hangUp.signal,
      }).catch(() => null);
      await world.untilWaiting(at, connId);
      hangUp.abort();
      await parked;
      const startedMs = performance.now();
      if (proxy === "apache") await (await sync(site, SIMPLIFIED, connId, `timeout=0&pos=${pos}`)).arrayBuffer();
      else await until("the line of who is gone", isGone);
      expect(performance.now() - startedMs).toBeLessThan(PARKED_MS / 2);
    }),
    LIMIT_MS,
  );

  for (const { title, check, level = "fail", text, advice } of BROKEN_SITES) {
    test(
      `[RVP-6] ${title}: the doctor says what to change`,
      async () => {
        const { code, findings } = (await broken.get(title)) as DoctorRun;
        const found = findings.filter((finding) => finding.check === check && finding.level === level);
        expect([
          found.map((finding) => finding.text).join("\n"),
          found.flatMap((finding) => finding.advice).join("\n"),
        ]).toEqual([saying(text), expect.stringContaining(advice)]);
        expect(code).toBe(level === "fail" ? 1 : 0);
      },
      LIMIT_MS,
    );
  }

  test(
    "[RVP-7] proxies that lose patience are found out, and how soon they do",
    async () => {
      for (const { title, check, level = "fail", text, advice } of IMPATIENT_SITES) {
        const { findings } = (await broken.get(title)) as DoctorRun;
        const found = findings.find((finding) => finding.check === check);
        expect([title, found?.level, found?.text, found?.advice.join()]).toEqual([
          title,
          level,
          saying(text),
          expect.stringContaining(advice),
        ]);
      }
    },
    LIMIT_MS,
  );

  test(
    "[RVP-8] long polls of a minute are answered through every site, in both dialects",
    each(async ({ longPolls }) => {
      for (const { status, tookMs } of await longPolls) {
        expect(status).toBe(200);
        expect(tookMs).toBeGreaterThan(59_000);
      }
    }),
    LIMIT_MS,
  );

  test(
    "[RVP-9] the doctor finds nothing to mend or improve on any site that ships",
    each(async ({ examined }) => {
      const { code, findings } = await examined;
      expect(findings.filter(({ level }) => level !== "ok")).toEqual([]);
      expect(code).toBe(0);
    }),
    LIMIT_MS,
  );
});

const VERSIONS = "/_matrix/client/versions";

const saying = (text: string | RegExp): unknown =>
  typeof text === "string" ? expect.stringContaining(text) : expect.stringMatching(text);

/** Of what a server says to these bytes. */
function firstLine(site: ReverseProxy, bytes: string): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const socket = connect({ host: "127.0.0.1", port: site.port, servername: TEST_NAME, rejectUnauthorized: false });
  socket.once("secureConnect", () => socket.write(bytes));
  socket.once("data", (data) => resolve(data.toString("latin1").split("\r\n")[0] ?? ""));
  socket.once("error", reject);
  socket.once("close", () => reject(new Error("closed without an answer")));
  return promise.finally(() => socket.destroy());
}
