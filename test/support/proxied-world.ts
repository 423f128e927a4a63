import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ConnectionView, Page } from "#src/admin/api.ts";
import type { ProxyName } from "#src/http/recipes/recipe.ts";
import { Authority } from "./certificates.ts";
import type { Certificate } from "./certificates.ts";
import type { DoctorRun } from "./doctor-run.ts";
import { runDoctorFrom } from "./doctor-run.ts";
import { GlissadeProcess } from "./glissade-process.ts";
import { freePort } from "./ports.ts";
import { ReverseProxy, TEST_NAME } from "./reverse-proxy.ts";
import { startSynapse } from "./synapse.ts";
import type { Synapse } from "./synapse.ts";
import { until } from "./until.ts";

const ROOT = join(import.meta.dir, "../..");
const ENDINGS: Readonly<Record<ProxyName, string>> = {
  nginx: "conf",
  caddy: "Caddyfile",
  haproxy: "cfg",
  apache: "conf",
};

/** A site as it ships, and what is wrong with it. */
export interface SiteOptions {
  proxy: ProxyName;
  isForwarding: boolean;
  change?: (config: string) => string;
  certificate?: Certificate;
  glissade?: string;
  homeserver?: string;
}

/** A real Synapse, Glissade before it in both ways, and reverse proxies before those. */
export class ProxiedWorld {
  readonly synapse: Synapse;
  /** Beside the homeserver, at the same name. */
  readonly sharing: GlissadeProcess;
  /** Before the homeserver. */
  readonly fronting: GlissadeProcess;
  /** Before a homeserver that is not there. */
  readonly orphan: GlissadeProcess;
  readonly authority: Authority;
  readonly good: Certificate;
  /** Where nobody listens. */
  readonly nowhere: string;
  readonly #dir: string;
  readonly #proxies: ReverseProxy[] = [];

  private constructor(
    parts: Pick<ProxiedWorld, "synapse" | "sharing" | "fronting" | "orphan" | "authority" | "good" | "nowhere">,
    dir: string,
  ) {
    this.synapse = parts.synapse;
    this.sharing = parts.sharing;
    this.fronting = parts.fronting;
    this.orphan = parts.orphan;
    this.authority = parts.authority;
    this.good = parts.good;
    this.nowhere = parts.nowhere;
    this.#dir = dir;
  }

  static async start(): Promise<ProxiedWorld> {
    const dir = await mkdtemp(join(tmpdir(), "glissade-proxies-"));
    // Apache's workers are somebody else, and serve a file from here.
    await chmod(dir, 0o755);
    const authority = await Authority.create(join(dir, "certificates"));
    const good = await authority.issue("good", TEST_NAME);
    const synapse = await startSynapse({ stateAfter: true });
    const nowhere = `127.0.0.1:${await freePort()}`;
    const glissade = async (name: string, server: string, forward: "0" | "1"): Promise<GlissadeProcess> => {
      const made = await GlissadeProcess.create({
        SYNCV3_SERVER: server,
        SYNCV3_DATA: join(dir, name),
        SYNCV3_FORWARD: forward,
        SYNCV3_LOG_LEVEL: "debug",
        SYNCV3_ADMIN: adminSocket(dir, name),
      });
      await made.start();
      return made;
    };
    const [sharing, fronting, orphan] = await Promise.all([
      glissade("sharing", synapse.url, "0"),
      glissade("fronting", synapse.url, "1"),
      glissade("orphan", `http://${nowhere}`, "1"),
    ]);
    return new ProxiedWorld({ synapse, sharing, fronting, orphan, authority, good, nowhere }, dir);
  }

  /** A reverse proxy with a site of `deploy/`. */
  async site(options: SiteOptions): Promise<ReverseProxy> {
    const { proxy, isForwarding, change } = options;
    const path = `deploy/${proxy}/${isForwarding ? "in-front" : "shared"}.${ENDINGS[proxy]}`;
    const recipe = await Bun.file(join(ROOT, path)).text();
    const places = {
      glissade: options.glissade ?? addressOf(isForwarding ? this.fronting.url : this.sharing.url),
      homeserver: options.homeserver ?? addressOf(this.synapse.url),
      certificate: options.certificate ?? this.good,
      dir: join(this.#dir, `proxy-${this.#proxies.length}-${crypto.randomUUID().slice(0, 8)}`),
    };
    const started = await ReverseProxy.start(proxy, recipe, places, change);
    this.#proxies.push(started);
    return started;
  }

  /** A file with a token in it. */
  async secretFile(name: string, text: string): Promise<string> {
    const path = join(this.#dir, name);
    await writeFile(path, text, { mode: 0o600 });
    return path;
  }

  /** `glissade doctor` on a site, by its server's name. */
  examine(site: ReverseProxy, ...args: string[]): Promise<DoctorRun> {
    const target = `${TEST_NAME}:${site.port}`;
    const trust = ["--resolve", `${TEST_NAME}=127.0.0.1`, "--ca-file", this.authority.rootPath];
    return runDoctorFrom([target, ...trust, ...args]);
  }

  /** Resolves when a request of this connection waits for news. */
  async untilWaiting(at: "sharing" | "fronting", connId: string): Promise<void> {
    const unix = adminSocket(this.#dir, at);
    await until(`a request of ${connId}`, async () => {
      const answer = await fetch("http://localhost/admin/v1/connections?state=parked&limit=500", { unix });
      const { items } = (await answer.json()) as Page<ConnectionView>;
      return items.some((connection) => connection.connId.endsWith(connId));
    });
  }

  async stop(): Promise<void> {
    await Promise.all(this.#proxies.map((proxy) => proxy.stop()));
    await Promise.all([this.sharing.kill(), this.fronting.kill(), this.orphan.kill(), this.synapse.stop()]);
    await rm(this.#dir, { recursive: true, force: true });
  }
}

const adminSocket = (dir: string, name: string): string => join(dir, `${name}.admin`);

/** `host:port` of a URL. */
export const addressOf = (url: string): string => new URL(url).host;
