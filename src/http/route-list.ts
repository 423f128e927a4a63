import type { BindAddress } from "#src/config/values.ts";
import { FORWARDED, SYNC_ENDPOINTS, VERSIONS_PATH } from "./front-paths.ts";

/** Reverse proxies that `glissade routes` writes a configuration for. */
export const PROXIES = ["nginx", "caddy", "haproxy"] as const;
export type ProxyName = (typeof PROXIES)[number];

interface Route {
  methods: string;
  path: string;
  who: string;
  /** Left out of snippets: the homeserver has the path too, and nobody is known to miss it. */
  isOptional: boolean;
}

const ROUTES: readonly Route[] = [
  { methods: "GET", path: VERSIONS_PATH, who: "all clients, to find sliding sync", isOptional: false },
  ...SYNC_ENDPOINTS.map(({ dialect, path, isShared }) => ({
    methods: isShared ? "POST" : "POST, OPTIONS",
    path,
    who: isShared
      ? `clients of ${dialect} that use this path; other methods stay the homeserver's`
      : `clients of ${dialect}`,
    isOptional: isShared,
  })),
];

const NEEDED = ROUTES.filter(({ isOptional }) => !isOptional).map(({ path }) => path);

/** What a reverse proxy has to send here when it shares an origin with the homeserver, as a table. */
export function routesTable(isForwarding: boolean): string {
  const rows = ROUTES.map(({ methods, path, who, isOptional }) => [
    methods,
    path,
    isOptional ? `optional: ${who}` : who,
  ]);
  const all = [["METHODS", "PATH", "WHO ASKS"], ...rows];
  const widths = [0, 1].map((column) => Math.max(...all.map((row) => row[column]?.length ?? 0)));
  const lines = all.map((row) =>
    row
      .map((cell, column) => cell.padEnd(widths[column] ?? 0))
      .join("  ")
      .trimEnd(),
  );
  const options = `${PROXIES.map((name) => `--${name}`).join(", ")} write a configuration for these proxies.\n`;
  const hint = isForwarding
    ? `SYNCV3_FORWARD is on: send everything below ${FORWARDED.join(", ")} here instead.\n`
    : "All other paths are the homeserver's. With SYNCV3_FORWARD=1 everything can be sent here instead.\n";
  return `${lines.join("\n")}\n\n${hint}${options}`;
}

/** The same as a piece of a reverse proxy's configuration; when everything is forwarded, all of the homeserver's paths. */
export function routesSnippet(proxy: ProxyName, bind: BindAddress, isForwarding: boolean): string {
  switch (proxy) {
    case "nginx":
      return isForwarding
        ? FORWARDED.map((root) => nginxLocation(`${root}/`, bind, NGINX_BODIES)).join("\n")
        : NEEDED.map((path) => nginxLocation(`= ${path}`, bind, "")).join("\n");
    case "caddy":
      return `# In the site of your homeserver${isForwarding ? "" : ", beside its own reverse_proxy"}:
@glissade path ${matched(isForwarding, "/*")}
reverse_proxy @glissade ${bind.kind === "unix" ? `unix/${bind.path}` : tcpOf(bind)}
`;
    case "haproxy":
      return `# In the frontend of your homeserver, before its own use_backend:
    acl is_glissade ${isForwarding ? "path_beg" : "path"} ${matched(isForwarding, "/")}
    use_backend glissade if is_glissade

# And beside its backend:
backend glissade
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto https if { ssl_fc }
    timeout server 30m
    server glissade ${bind.kind === "unix" ? `unix@${bind.path}` : tcpOf(bind)}
`;
  }
}

const matched = (isForwarding: boolean, below: string): string =>
  (isForwarding ? FORWARDED.map((root) => root + below) : NEEDED).join(" ");

/** Media go up as they come, whatever their size: the homeserver has a limit of its own. */
const NGINX_BODIES = `
    client_max_body_size 0;
    proxy_request_buffering off;`;

/** `proxy_pass` without a path hands the path on as it came. */
function nginxLocation(match: string, bind: BindAddress, more: string): string {
  return `location ${match} {
    proxy_pass http://${bind.kind === "unix" ? `unix:${bind.path}` : tcpOf(bind)};
    proxy_http_version 1.1;
    proxy_set_header Connection "";
    proxy_set_header Host $http_host;
    proxy_set_header X-Forwarded-For $remote_addr;
    proxy_set_header X-Forwarded-Proto $scheme;
    proxy_read_timeout 30m;
    proxy_buffering off;${more}
}
`;
}

/** By which address a proxy on the same machine finds the listener. */
function tcpOf({ host, port }: Extract<BindAddress, { kind: "tcp" }>): string {
  if (host === "0.0.0.0" || host === "::") return `127.0.0.1:${port}`;
  return host.includes(":") ? `[${host}]:${port}` : `${host}:${port}`;
}
