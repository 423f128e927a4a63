import type { BindAddress } from "#src/config/values.ts";
import { APACHE } from "./recipes/apache.ts";
import { CADDY } from "./recipes/caddy.ts";
import { HAPROXY } from "./recipes/haproxy.ts";
import { NGINX } from "./recipes/nginx.ts";
import { PROXIES } from "./recipes/recipe.ts";
import type { ProxyName, Recipe, Share } from "./recipes/recipe.ts";
import { FORWARDED, SYNC_ENDPOINTS, VERSIONS_PATH } from "./front-paths.ts";

interface Route {
  methods: string;
  path: string;
  who: string;
  /** Left out of snippets: the homeserver has the path too, and nobody is known to miss it. */
  isOptional: boolean;
}

const CLIENTS: Readonly<Record<(typeof SYNC_ENDPOINTS)[number]["dialect"], string>> = {
  MSC3575: "clients of MSC3575, the original sliding sync",
  simplified: "clients of simplified sliding sync, which are nearly all of today's",
  MSC4186: "clients of MSC4186",
};

const ROUTES: readonly Route[] = [
  { methods: "GET", path: VERSIONS_PATH, who: "all clients, to find sliding sync", isOptional: false },
  ...SYNC_ENDPOINTS.map(({ dialect, path, isShared }) => ({
    methods: isShared ? "POST" : "POST, OPTIONS",
    path,
    who: isShared ? `${CLIENTS[dialect]} that use this path; other methods stay the homeserver's` : CLIENTS[dialect],
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
  return RECIPES[proxy].snippet(shareOf(bind, isForwarding));
}

/** Where Glissade and the homeserver are in the configurations that ship. */
const EXAMPLE = { name: "matrix.example.org", glissade: { kind: "tcp", host: "127.0.0.1", port: 8009 } } as const;
const EXAMPLE_HOMESERVER = "127.0.0.1:8008";

/** A whole site, as it ships in `deploy/`. */
export function routesSite(proxy: ProxyName, isForwarding: boolean): string {
  const recipe = RECIPES[proxy];
  const lines = isForwarding ? FORWARDING_HEAD : SHARING_HEAD;
  const head = lines.map((line) => `${recipe.comment} ${line}\n`).join("");
  const share = shareOf(EXAMPLE.glissade, isForwarding);
  return `${head}\n${recipe.site({ share, name: EXAMPLE.name, homeserver: EXAMPLE_HOMESERVER })}`;
}

const SHARING_HEAD = [
  "Glissade and the homeserver at one name: Glissade gets its few paths, the homeserver all others.",
  "Glissade:   SYNCV3_BINDADDR=127.0.0.1:8009 SYNCV3_SERVER=http://127.0.0.1:8008",
  "homeserver: 127.0.0.1:8008",
  "Check it with: glissade doctor https://matrix.example.org",
];

const FORWARDING_HEAD = [
  "Glissade before everything: it hands on what is the homeserver's.",
  "Glissade:   SYNCV3_BINDADDR=127.0.0.1:8009 SYNCV3_SERVER=http://127.0.0.1:8008 SYNCV3_FORWARD=1",
  "Check it with: glissade doctor https://matrix.example.org",
];

const RECIPES: Readonly<Record<ProxyName, Recipe>> = { nginx: NGINX, caddy: CADDY, haproxy: HAPROXY, apache: APACHE };

const shareOf = (bind: BindAddress, isForwarding: boolean): Share => ({
  bind,
  isForwarding,
  paths: isForwarding ? FORWARDED : NEEDED,
});
