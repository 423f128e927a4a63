import type { CheckName, Level } from "#src/doctor/finding.ts";
import type { Certificate } from "./certificates.ts";
import type { ProxiedWorld, SiteOptions } from "./proxied-world.ts";
import { addressOf } from "./proxied-world.ts";
import { TEST_NAME } from "./reverse-proxy.ts";

/** A mistake that people make, and what a doctor has to say of it. */
export interface BrokenSite {
  title: string;
  site: (world: ProxiedWorld) => SiteOptions | Promise<SiteOptions>;
  /** Of the doctor, beside the target. */
  args?: readonly string[];
  check: CheckName;
  level?: Level;
  /** In the finding. */
  text: string | RegExp;
  /** In its advice. */
  advice: string;
}

/** Replaces what has to be there: a recipe that has changed must not make a mistake vanish. */
function replaced(config: string, pattern: string | RegExp, by: string): string {
  const changed = config.replace(pattern, by);
  if (changed === config) throw new Error(`${String(pattern)} is not in the recipe`);
  return changed;
}

/** nginx's location of one path, whole. */
const locationOf = (path: string): RegExp =>
  new RegExp(`^ *location = ${path.replaceAll(".", "\\.")} \\{[^}]*\\}\n`, "m");

const SIMPLIFIED = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const VERSIONS = "/_matrix/client/versions";

const nginx = (change: (config: string) => string, isForwarding = false): SiteOptions => ({
  proxy: "nginx",
  isForwarding,
  change,
});

/** A line more for each location that leads to Glissade. */
const nginxLine = (line: string): SiteOptions =>
  nginx((config) => replaced(config, /proxy_buffering off;/g, `proxy_buffering off; ${line}`));

const certified = async (
  world: ProxiedWorld,
  proxy: SiteOptions["proxy"],
  issue: (world: ProxiedWorld) => Promise<Certificate>,
): Promise<SiteOptions> => ({ proxy, isForwarding: false, certificate: await issue(world) });

/** Each on a site that ships, with one thing changed. */
export const BROKEN_SITES: readonly BrokenSite[] = [
  {
    title: "one sync path is not routed",
    site: () => nginx((config) => replaced(config, locationOf(SIMPLIFIED), "")),
    check: "sync-paths",
    text: "Glissade is passed by",
    advice: "nginx: glissade routes --nginx",
  },
  {
    title: "everything goes to the web site",
    site: () =>
      nginx((config) => replaced(config, locationOf(SIMPLIFIED), `location = ${SIMPLIFIED} { return 404; }\n`)),
    check: "sync-paths",
    text: "a page for people",
    advice: "nginx: glissade routes --nginx",
  },
  {
    title: "/versions is not routed",
    site: () => ({
      proxy: "haproxy",
      isForwarding: false,
      change: (config) => replaced(config, `path ${VERSIONS} `, "path "),
    }),
    args: ["--proxy", "haproxy"],
    check: "versions",
    text: "somebody else",
    advice: "haproxy: glissade routes --haproxy",
  },
  {
    title: "the sync paths lead to Synapse itself",
    site: (world) => ({ proxy: "caddy", isForwarding: false, glissade: addressOf(world.synapse.url) }),
    check: "sync-paths",
    text: "has sliding sync of its own",
    advice: "caddy: glissade routes --caddy",
  },
  {
    title: "Glissade does not run",
    site: (world) => ({ proxy: "apache", isForwarding: false, glissade: world.nowhere }),
    check: "sync-paths",
    text: "503 by the reverse proxy",
    advice: "apache: compare ProxyPass with SYNCV3_BINDADDR",
  },
  {
    title: "Glissade gets everything, and hands nothing on",
    site: (world) => ({ proxy: "haproxy", isForwarding: true, glissade: addressOf(world.sharing.url) }),
    check: "path-bytes",
    text: "nobody can log in",
    advice: "SYNCV3_FORWARD=1",
  },
  {
    title: "the homeserver is dead",
    site: (world) => ({ proxy: "nginx", isForwarding: true, glissade: addressOf(world.orphan.url) }),
    check: "versions",
    text: "cannot reach the homeserver",
    advice: "SYNCV3_SERVER",
  },
  {
    title: "the well-known file lacks https",
    site: () => nginx((config) => replaced(config, `"base_url": "https://`, `"base_url": "`)),
    check: "well-known",
    text: "no https://",
    advice: '"base_url": "https://',
  },
  {
    title: "TLS 1.3 alone is offered",
    site: () => nginx((config) => replaced(config, "TLSv1.2 TLSv1.3", "TLSv1.3")),
    check: "tls",
    text: "clients on iOS",
    advice: "ssl_protocols TLSv1.2 TLSv1.3;",
  },
  {
    title: "the certificate has ended",
    site: (world) => certified(world, "haproxy", ({ authority }) => authority.issue("ended", TEST_NAME, -3)),
    check: "tls",
    text: "ended on",
    advice: "renew it",
  },
  {
    title: "the certificate is for another name",
    site: (world) => certified(world, "nginx", ({ authority }) => authority.issue("other", "www.test")),
    check: "tls",
    text: `not for ${TEST_NAME}`,
    advice: "have the reverse proxy use it for this name",
  },
  {
    title: "the chain is not sent",
    site: (world) => certified(world, "apache", async ({ good }) => ({ ...good, chain: good.alone })),
    check: "tls",
    text: "chain of certificates",
    advice: "fullchain.pem",
  },
  {
    title: "slashes are decoded by nginx",
    site: () => nginx((config) => replaced(config, /(location \/ \{\s+proxy_pass [^;]+)/, "$1/")),
    check: "path-bytes",
    text: "%2F",
    advice: "proxy_pass without anything behind the address",
  },
  {
    title: "slashes are refused by Apache",
    site: () => ({
      proxy: "apache",
      isForwarding: true,
      change: (config) => replaced(config, "AllowEncodedSlashes NoDecode", "AllowEncodedSlashes Off"),
    }),
    check: "path-bytes",
    text: "%2F",
    advice: "AllowEncodedSlashes NoDecode",
  },
  {
    title: "CORS headers are set twice by nginx",
    site: () => nginxLine("add_header Access-Control-Allow-Origin * always;"),
    check: "cors",
    text: "more than once",
    advice: "nginx: remove add_header",
  },
  {
    title: "CORS headers are set twice for the homeserver alone",
    site: () =>
      nginx((config) =>
        replaced(config, "location / {", "location / { add_header Access-Control-Allow-Origin * always;"),
      ),
    check: "cors",
    text: "of the homeserver: Access-Control-Allow-Origin is there more than once",
    advice: "nginx: remove add_header",
  },
  {
    title: "CORS headers are set twice by Apache",
    site: () => ({
      proxy: "apache",
      isForwarding: false,
      change: (config) =>
        replaced(
          config,
          "ProxyPreserveHost On",
          'ProxyPreserveHost On\nHeader always add Access-Control-Allow-Origin "*"',
        ),
    }),
    check: "cors",
    text: "more than once",
    advice: "apache: remove Header",
  },
  {
    title: "preflights are refused",
    site: () => nginxLine("limit_except POST GET { deny all; }"),
    check: "preflight",
    text: "is answered 403",
    advice: "remove limit_except",
  },
  {
    title: "/versions is cached for all alike",
    site: () =>
      nginx((config) => {
        const cache = "proxy_cache versions; proxy_cache_valid 200 401 10m; proxy_ignore_headers Vary Cache-Control;";
        const made = replaced(config, "server {", "proxy_cache_path DIR/cache keys_zone=versions:1m;\nserver {");
        const dir = /^pid (.*)\/nginx\.pid;$/m.exec(made)?.[1] ?? "";
        return replaced(made, `location = ${VERSIONS} {`, `location = ${VERSIONS} { ${cache}`)
          .replace("DIR", dir)
          .replace("proxy_buffering off;", "");
      }),
    check: "versions",
    text: "does not mind Vary: Authorization",
    advice: "proxy_cache off;",
  },
  {
    title: "requests of 1 KB are the limit in nginx",
    site: () => nginx((config) => replaced(config, /client_max_body_size 1m;/g, "client_max_body_size 1k;")),
    check: "request-size",
    text: "answered 413",
    advice: "client_max_body_size 1m;",
  },
  {
    title: "requests of 1 KB are the limit in Caddy",
    site: () => ({
      proxy: "caddy",
      isForwarding: true,
      change: (config) => replaced(config, "\t@glissade", "\trequest_body {\n\t\tmax_size 1KB\n\t}\n\t@glissade"),
    }),
    check: "request-size",
    text: "900 KB",
    advice: "caddy: remove request_body max_size",
  },
  {
    title: "uploads are cut by the default of nginx",
    site: () => nginx((config) => replaced(config, "client_max_body_size 0;", "client_max_body_size 1m;")),
    check: "upload-size",
    level: "warn",
    text: "50 MiB",
    advice: "client_max_body_size 50m;",
  },
  {
    title: "Host is the address behind the proxy",
    site: () => nginx((config) => replaced(config, /Host \$http_host/g, "Host $proxy_host"), true),
    check: "arrival",
    text: "Host arrives as 127.0.0.1",
    advice: "proxy_set_header Host $http_host;",
  },
  {
    title: "Authorization is for the proxy alone",
    site: () => nginxLine('proxy_set_header Authorization "";'),
    check: "arrival",
    text: "Authorization header does not arrive",
    advice: 'proxy_set_header Authorization ""',
  },
  {
    title: "answers are buffered",
    site: () => nginx((config) => replaced(config, /proxy_buffering off;/g, "")),
    check: "streaming",
    level: "warn",
    text: "held back",
    advice: "proxy_buffering off;",
  },
  {
    title: "HTTP/2 is not offered",
    site: () => ({
      proxy: "apache",
      isForwarding: true,
      change: (config) => replaced(config, "Protocols h2 http/1.1", "Protocols http/1.1"),
    }),
    check: "http2",
    level: "warn",
    text: "HTTP/2",
    advice: "a2enmod http2",
  },
];

/** Those whose mistake takes time to show. */
export const IMPATIENT_SITES: readonly BrokenSite[] = [
  {
    title: "HAProxy waits for 30 s",
    site: () => ({
      proxy: "haproxy",
      isForwarding: false,
      change: (config) => replaced(config, "timeout server 30m", "timeout server 30s"),
    }),
    args: ["--proxy", "haproxy"],
    check: "long-polls",
    text: /after 3[0-3] s: clients wait/,
    advice: "haproxy: timeout server 30m",
  },
  {
    title: "nginx waits for the minute that is its default",
    site: () => nginx((config) => replaced(config, /proxy_read_timeout 30m;/g, ""), true),
    check: "long-polls",
    level: "warn",
    text: /after 6\d s: enough for long polls/,
    advice: "nginx: proxy_read_timeout 30m;",
  },
];
