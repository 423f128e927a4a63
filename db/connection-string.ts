import { SyncError } from "#src/errors.ts";

/** How to reach a database, whichever way it was written. */
export interface ConnectionSettings {
  /** Host names, or one directory with a unix socket; empty = the driver's default. */
  hosts: { host: string; port: number | null }[];
  user: string | null;
  password: string | null;
  database: string | null;
  sslMode: SslMode;
  /** Paths of PEM files. */
  sslRootCert: string | null;
  sslCert: string | null;
  sslKey: string | null;
  connectTimeoutMs: number | null;
  applicationName: string | null;
  targetSessionAttrs: string | null;
  /** Server settings to start the session with (`options=-c name=value`, and `search_path` and the like by name). */
  parameters: Record<string, string>;
}

const SSL_MODES = ["disable", "allow", "prefer", "require", "verify-ca", "verify-full"] as const;
export type SslMode = (typeof SSL_MODES)[number];

/** Meant for other drivers; without meaning here. */
const IGNORED = new Set([
  "binary_parameters",
  "disable_prepared_binary_result",
  "fallback_application_name",
  "sslcompression",
  "sslsni",
  "sslinline",
  "gssencmode",
  "krbsrvname",
  "krbspn",
  "channel_binding",
  "keepalives",
  "keepalives_idle",
  "keepalives_interval",
  "keepalives_count",
  "tcp_user_timeout",
  "client_encoding",
  "load_balance_hosts",
  "replication",
  "passfile",
]);

/** Never quotes the string: it may hold a password. */
const refuse = (problem: string): never => {
  throw new SyncError("invalid_param", `database connection string: ${problem}`);
};

/** `key = value` pairs with libpq's quoting: single quotes around, backslash before. */
function parsePairs(text: string): Map<string, string> {
  const pairs = new Map<string, string>();
  let at = 0;
  const skipSpace = (): void => {
    while (at < text.length && /\s/.test(text[at] as string)) at++;
  };
  for (;;) {
    skipSpace();
    if (at >= text.length) return pairs;
    const keyFrom = at;
    while (at < text.length && !/[\s=]/.test(text[at] as string)) at++;
    const key = text.slice(keyFrom, at);
    skipSpace();
    if (key === "" || text[at] !== "=") refuse("expected key=value pairs, or a postgres:// URL");
    at++;
    skipSpace();
    let value = "";
    const isQuoted = text[at] === "'";
    if (isQuoted) at++;
    for (;;) {
      const char = text[at];
      if (char === undefined) {
        if (isQuoted) refuse(`the quote around "${key}" is not closed`);
        break;
      }
      at++;
      if (isQuoted ? char === "'" : /\s/.test(char)) break;
      // A backslash at the very end stands for nothing, as in libpq.
      if (char === "\\") value += text[at++] ?? "";
      else value += char;
    }
    pairs.set(key, value);
  }
}

function decoded(part: string, what: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return refuse(`${what} is not percent-encoded correctly (write % as %25)`);
  }
}

/** By hand: the WHATWG parser knows neither several hosts nor `%2F` in one. */
function parseUrl(text: string): Map<string, string> {
  const rest = text.slice(text.indexOf("://") + 3);
  const queryAt = rest.indexOf("?");
  const beforeQuery = queryAt === -1 ? rest : rest.slice(0, queryAt);
  // A password may hold an unescaped "/" or "@": what follows the last "@" is the address.
  const at = beforeQuery.lastIndexOf("@");
  const userInfo = at === -1 ? "" : beforeQuery.slice(0, at);
  const address = beforeQuery.slice(at + 1);
  const slash = address.indexOf("/");
  const authority = slash === -1 ? address : address.slice(0, slash);
  const path = slash === -1 ? "" : address.slice(slash + 1);

  const pairs = new Map<string, string>();
  const colon = userInfo.indexOf(":");
  if (userInfo !== "") pairs.set("user", decoded(colon === -1 ? userInfo : userInfo.slice(0, colon), "the user"));
  if (colon !== -1) pairs.set("password", decoded(userInfo.slice(colon + 1), "the password"));
  if (authority !== "") {
    const hosts: string[] = [];
    const ports: string[] = [];
    for (const entry of authority.split(",")) {
      const match = /^(\[[^\]]*\]|[^:]*)(?::(\d*))?$/.exec(entry);
      if (match === null) return refuse("the host or port is malformed");
      hosts.push(decoded((match[1] ?? "").replace(/^\[|\]$/g, ""), "the host"));
      ports.push(match[2] ?? "");
    }
    pairs.set("host", hosts.join(","));
    if (ports.some((port) => port !== "")) pairs.set("port", ports.join(","));
  }
  if (path !== "") pairs.set("dbname", decoded(path, "the database name"));
  if (queryAt !== -1) {
    for (const pair of rest.slice(queryAt + 1).split("&")) {
      if (pair === "") continue;
      const equals = pair.indexOf("=");
      if (equals === -1) return refuse("a parameter after ? has no value");
      pairs.set(decoded(pair.slice(0, equals), "a parameter"), decoded(pair.slice(equals + 1), "a parameter"));
    }
  }
  return pairs;
}

function parseHosts(host: string, port: string): ConnectionSettings["hosts"] {
  const ports = port === "" ? [] : port.split(",");
  const hosts = host === "" ? (port === "" ? [] : ["localhost"]) : host.split(",");
  if (ports.length > 1 && ports.length !== hosts.length) refuse("there must be one port, or one for each host");
  return hosts.map((name, i) => {
    const written = (ports.length === 1 ? ports[0] : ports[i]) ?? "";
    const number = Number(written);
    if (written !== "" && !(Number.isInteger(number) && number > 0 && number < 65_536)) {
      refuse("the port is not a number from 1 to 65535");
    }
    return { host: name === "" ? "localhost" : name, port: written === "" ? null : number };
  });
}

/** `-c name=value` and `--name=value`, blanks escaped with a backslash. */
function parseServerOptions(text: string, into: Record<string, string>): void {
  const words = (text.match(/(?:\\.|\S)+/g) ?? []).map((word) => word.replace(/\\(.)/g, "$1"));
  for (let i = 0; i < words.length; i++) {
    const word = words[i] as string;
    const setting = word === "-c" ? words[++i] : word.startsWith("-c") ? word.slice(2) : word.replace(/^--/, "");
    const match = /^([\w.-]+)=(.*)$/s.exec(setting ?? "");
    if (match === null) refuse("`options` holds something else than -c name=value");
    else into[(match[1] as string).replaceAll("-", "_")] = match[2] as string;
  }
}

/** Reads a `postgres://` URL or libpq's `key=value` form. Throws `invalid_param`, without quoting the string. */
export function parseConnectionString(text: string): ConnectionSettings {
  const trimmed = text.trim();
  const pairs = /^postgres(?:ql)?:\/\//.test(trimmed) ? parseUrl(trimmed) : parsePairs(trimmed);
  const take = (key: string): string | null => {
    const value = pairs.get(key) ?? null;
    pairs.delete(key);
    return value === "" ? null : value;
  };
  const host = take("host");
  const hosts = parseHosts(take("hostaddr") ?? host ?? "", take("port") ?? "");
  const isLocal = hosts.length > 0 && hosts.every((entry) => entry.host.startsWith("/"));
  const sslMode = take("sslmode") ?? (take("ssl") === "true" ? "require" : isLocal ? "disable" : "prefer");
  const known = SSL_MODES.find((mode) => mode === sslMode);
  if (known === undefined) return refuse(`sslmode must be one of ${SSL_MODES.join(", ")}`);
  const timeout = take("connect_timeout");
  if (timeout !== null && !/^\d+$/.test(timeout)) refuse("connect_timeout is not a number of seconds");

  const parameters: Record<string, string> = {};
  parseServerOptions(take("options") ?? "", parameters);
  const settings: ConnectionSettings = {
    hosts,
    user: take("user"),
    password: take("password"),
    database: take("dbname") ?? take("database"),
    // A unix socket carries no TLS.
    sslMode: isLocal ? "disable" : known,
    sslRootCert: take("sslrootcert"),
    sslCert: take("sslcert"),
    sslKey: take("sslkey"),
    connectTimeoutMs: timeout === null || Number(timeout) === 0 ? null : Number(timeout) * 1000,
    applicationName: take("application_name"),
    targetSessionAttrs: take("target_session_attrs"),
    parameters,
  };
  for (const [key, value] of pairs) {
    if (IGNORED.has(key)) continue;
    if (!/^[a-zA-Z_][\w.]*$/.test(key)) refuse("a key holds odd characters");
    // As with lib/pq, whatever is not about the connection is a setting of the session.
    parameters[key] = value;
  }
  return settings;
}
