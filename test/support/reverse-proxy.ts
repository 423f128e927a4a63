import { chmod, mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { wellKnownText } from "#src/http/recipes/recipe.ts";
import type { ProxyName } from "#src/http/recipes/recipe.ts";
import type { Certificate } from "./certificates.ts";
import { SYSTEM_PATH, systemProgram } from "./debian.ts";
import { freePort } from "./ports.ts";

/** The name that all recipes are tried with. */
export const TEST_NAME = "matrix.test";

/** What stands in for the addresses and certificates of a recipe. */
export interface Places {
  /** `host:port` of Glissade. */
  glissade: string;
  homeserver: string;
  certificate: Certificate;
  /** For everything that the proxy writes; its own. */
  dir: string;
}

const START_LIMIT_MS = 60_000;

/** A reverse proxy of Debian's, in the foreground, with a configuration of its own. */
export class ReverseProxy {
  readonly port: number;
  readonly #child: Bun.Subprocess;

  private constructor(port: number, child: Bun.Subprocess) {
    this.port = port;
    this.#child = child;
  }

  /** `recipe` is a whole site as it ships; `change` breaks it. */
  static async start(
    proxy: ProxyName,
    recipe: string,
    places: Places,
    change: (config: string) => string = (config) => config,
  ): Promise<ReverseProxy> {
    const port = await freePort();
    await mkdir(places.dir, { recursive: true });
    await chmod(places.dir, 0o777);
    const fitted = change(ADAPTED[proxy](fit(recipe, places, port), places, port));
    const path = join(places.dir, `${proxy}.conf`);
    await writeFile(path, fitted);
    // The file that Apache's recipe speaks of.
    await writeFile(join(places.dir, "matrix-client.json"), wellKnownText(`${TEST_NAME}:${port}`));
    const child = Bun.spawn(COMMANDS[proxy](path), {
      env: { PATH: SYSTEM_PATH, HOME: places.dir, XDG_DATA_HOME: places.dir, XDG_CONFIG_HOME: places.dir },
      cwd: places.dir,
      stdout: Bun.file(join(places.dir, "out.log")),
      stderr: Bun.file(join(places.dir, "err.log")),
    });
    const started = new ReverseProxy(port, child);
    await started.#listening(places.dir);
    return started;
  }

  get url(): string {
    return `https://${TEST_NAME}:${this.port}`;
  }

  async stop(): Promise<void> {
    this.#child.kill("SIGTERM");
    const late = setTimeout(() => this.#child.kill("SIGKILL"), 3000);
    await this.#child.exited;
    clearTimeout(late);
  }

  async #listening(dir: string): Promise<void> {
    const startedMs = performance.now();
    for (;;) {
      const isOpen = await Bun.connect({
        hostname: "127.0.0.1",
        port: this.port,
        socket: { data: () => undefined },
      }).then(
        (socket) => {
          socket.end();
          return true;
        },
        () => false,
      );
      if (isOpen) return;
      if (this.#child.exitCode !== null || performance.now() - startedMs > START_LIMIT_MS) {
        const logs = await Promise.all(["err.log", "out.log"].map((name) => Bun.file(join(dir, name)).text()));
        throw new Error(`the proxy does not listen: ${logs.join("\n")}`);
      }
      await Bun.sleep(50);
    }
  }
}

/** Addresses and certificate paths alone. */
function fit(recipe: string, { glissade, homeserver, certificate }: Places, port: number): string {
  return recipe
    .replaceAll("https://matrix.example.org", `https://${TEST_NAME}:${port}`)
    .replaceAll("/etc/letsencrypt/live/matrix.example.org/fullchain.pem", certificate.chain)
    .replaceAll("/etc/letsencrypt/live/matrix.example.org/privkey.pem", certificate.key)
    .replaceAll("/etc/haproxy/certs/matrix.example.org.pem", certificate.bundle)
    .replaceAll("matrix.example.org", TEST_NAME)
    .replaceAll("127.0.0.1:8009", glissade)
    .replaceAll("127.0.0.1:8008", homeserver);
}

const COMMANDS: Readonly<Record<ProxyName, (path: string) => string[]>> = {
  nginx: (path) => [systemProgram("nginx"), "-c", path, "-e", "stderr"],
  caddy: (path) => [systemProgram("caddy"), "run", "--adapter", "caddyfile", "--config", path],
  haproxy: (path) => [systemProgram("haproxy"), "-db", "-f", path],
  apache: (path) => [systemProgram("apache2"), "-DFOREGROUND", "-f", path],
};

const MODULES = [
  "mpm_event",
  "authz_core",
  "alias",
  "mime",
  "headers",
  "proxy",
  "proxy_http",
  "http2",
  "socache_shmcb",
  "ssl",
  "rewrite",
  "filter",
  "deflate",
  "env",
];

type Adapt = (config: string, places: Places, port: number) => string;

/** What distributions have around a site. */
const ADAPTED: Readonly<Record<ProxyName, Adapt>> = {
  nginx: (config, { dir }, port) => {
    const temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]
      .map((name) => `${name}_temp_path ${dir}/${name};\n`)
      .join("");
    const site = config.replace("listen 443 ", `listen 127.0.0.1:${port} `).replace(/^.*listen \[::\]:443.*\n/m, "");
    return `daemon off;
user root;
pid ${dir}/nginx.pid;
events { worker_connections 1024; }
http {
access_log off;
default_type application/octet-stream;
sendfile on;
gzip on;
${temporary}${site}}
`;
  },
  caddy: (config, { dir }, port) =>
    `{
	admin off
	auto_https disable_redirects
	skip_install_trust
	default_bind 127.0.0.1
	storage file_system ${dir}
}
${config.replace("\t# tls ", "\ttls ").replace(`${TEST_NAME} {`, `${TEST_NAME}:${port} {`)}`,
  haproxy: (config, _places, port) =>
    `global
    maxconn 500
    ssl-default-bind-options ssl-min-ver TLSv1.2

${config.replace("bind :443", `bind 127.0.0.1:${port}`)}`,
  apache: (config, { dir }, port) => `ServerRoot ${dir}
PidFile ${dir}/apache.pid
Mutex file:${dir} default
User www-data
Group www-data
ServerName localhost
ErrorLog ${dir}/error.log
TypesConfig /etc/mime.types
Listen 127.0.0.1:${port}
${MODULES.map((name) => `LoadModule ${name}_module /usr/lib/apache2/modules/mod_${name}.so\n`).join("")}
${config.replace("*:443", `*:${port}`).replace("/etc/apache2/matrix-client.json", `${dir}/matrix-client.json`)}`,
};
