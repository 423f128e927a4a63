/** One environment variable as `--help` and `docs/configuration.md` tell it. */
export interface Variable {
  name: string;
  group: "Homeserver" | "Storage" | "Listening" | "Seeing it" | "Limits" | "Tuning";
  /** What holds when it is not set. */
  fallback: string;
  meaning: string;
  /** May be given as the path of a file, in `<name>_FILE`. */
  hasFileForm?: true;
}

const VARIABLES = [
  {
    name: "SYNCV3_SERVER",
    group: "Homeserver",
    fallback: "required",
    meaning:
      "The homeserver: its URL (`https://matrix.example.org`), or the path of its unix socket (`/run/synapse/main.sock`).",
  },
  {
    name: "SYNCV3_PUBLIC_SERVER",
    group: "Homeserver",
    fallback: "`SYNCV3_SERVER`",
    meaning:
      "The URL by which browsers reach the homeserver, where that is another: [the console](console.md) logs in and sends there. Without meaning when `SYNCV3_FORWARD` is on.",
  },
  {
    name: "SYNCV3_HTTP_TIMEOUT_SECS",
    group: "Homeserver",
    fallback: "300",
    meaning: "After so many seconds without an answer a request to the homeserver is given up.",
  },
  {
    name: "SYNCV3_HTTP_INITIAL_TIMEOUT_SECS",
    group: "Homeserver",
    fallback: "1800",
    meaning:
      "The same for the first sync of a device, which takes a homeserver minutes for large accounts. A client's first request is held as long.",
  },
  {
    name: "SYNCV3_DB",
    group: "Storage",
    fallback: "the embedded database",
    meaning:
      "PostgreSQL 13 or newer, as a URL (`postgres://user:password@host/name`) or as libpq settings (`host=/run/postgresql dbname=name`).",
    hasFileForm: true,
  },
  {
    name: "SYNCV3_SECRET",
    group: "Storage",
    fallback: "generated with the embedded database; required with `SYNCV3_DB`",
    meaning:
      "Key material by which access tokens are sealed in the database. It belongs to its database: to replace it, see `SYNCV3_SECRET_OLD`. `openssl rand -hex 32` makes one.",
    hasFileForm: true,
  },
  {
    name: "SYNCV3_SECRET_OLD",
    group: "Storage",
    fallback: "none",
    meaning:
      "The secret before `SYNCV3_SECRET`. With both, a start seals everything anew, and clients go on. [Another secret](database.md#another-secret) says when it can go.",
    hasFileForm: true,
  },
  {
    name: "SYNCV3_IMPORT_SECRET",
    group: "Storage",
    fallback: "`SYNCV3_SECRET`",
    meaning: "For `glissade import` alone: the `SYNCV3_SECRET` of the Go proxy, if that was another one.",
    hasFileForm: true,
  },
  {
    name: "SYNCV3_DATA",
    group: "Storage",
    fallback: "./data",
    meaning: "Directory of the embedded database and of the secret generated for it.",
  },
  {
    name: "SYNCV3_MAX_DB_CONN",
    group: "Storage",
    fallback: "0",
    meaning: "Most connections to the database, all Workers together. 0 leaves the choice to Glissade.",
  },
  {
    name: "SYNCV3_DB_IDLE_TIMEOUT_SECS",
    group: "Storage",
    fallback: "3600",
    meaning: "After so many seconds without use a connection to the database is closed. 0 keeps it for ever.",
  },
  {
    name: "SYNCV3_BINDADDR",
    group: "Listening",
    fallback: "0.0.0.0:8008",
    meaning: "Where clients are served: `host:port`, `[ipv6]:port`, `:port`, or the path of a unix socket.",
  },
  {
    name: "SYNCV3_FORWARD",
    group: "Listening",
    fallback: "0",
    meaning:
      "`1` hands every other request below `/_matrix`, `/_synapse` and `/.well-known/matrix` on to the homeserver, so that Glissade alone is what clients talk to. [The front door](front-door.md) says what that means. Without it, `glissade routes` prints what a reverse proxy has to send here.",
  },
  {
    name: "SYNCV3_PROBES",
    group: "Listening",
    fallback: "1",
    meaning:
      "`0` does not answer the probes of [`glissade doctor`](doctor.md#how-it-sees), which anybody may send: the doctor takes Glissade for somebody else then.",
  },
  {
    name: "SYNCV3_CONSOLE",
    group: "Listening",
    fallback: "1",
    meaning: "`0` does not serve [the console](console.md) to clients; operators have theirs at `SYNCV3_ADMIN`.",
  },
  {
    name: "SYNCV3_V4",
    group: "Listening",
    fallback: "1",
    meaning: "`0` does not speak MSC4186 (`/_matrix/client/v4/sync`), which is new; the other dialects stay.",
  },
  {
    name: "SYNCV3_TLS_CERT",
    group: "Listening",
    fallback: "none",
    meaning:
      "Path of a certificate chain (PEM). Only with `SYNCV3_TLS_KEY`, and not on unix sockets. On SIGHUP both files are read anew.",
  },
  {
    name: "SYNCV3_TLS_KEY",
    group: "Listening",
    fallback: "none",
    meaning: "Path of the certificate's key (PEM).",
  },
  {
    name: "SYNCV3_PROM",
    group: "Seeing it",
    fallback: "none",
    meaning: "Where Prometheus finds `/metrics`, written like `SYNCV3_BINDADDR`. Without it nothing is counted.",
  },
  {
    name: "SYNCV3_ADMIN",
    group: "Seeing it",
    fallback: "none",
    meaning:
      "Where operators are served, apart from clients: the console, and the [admin API](admin-api.md). Written like `SYNCV3_BINDADDR`; a unix socket can be opened by Glissade's own user only. Keep a port away from the internet.",
  },
  {
    name: "SYNCV3_ADMIN_TOKEN",
    group: "Seeing it",
    fallback: "required with `SYNCV3_ADMIN`, but for a unix socket",
    meaning:
      "What operators prove themselves with (`Authorization: Bearer …`), 16 characters at least. `openssl rand -hex 32` makes one.",
    hasFileForm: true,
  },
  {
    name: "SYNCV3_LOG_LEVEL",
    group: "Seeing it",
    fallback: "info",
    meaning: "`trace`, `debug`, `info`, `warn`, `error` or `fatal`.",
  },
  {
    name: "SYNCV3_DEBUG",
    group: "Seeing it",
    fallback: "0",
    meaning: "`1` logs everything, as `SYNCV3_LOG_LEVEL=trace` does.",
  },
  {
    name: "SYNCV3_OTLP_URL",
    group: "Seeing it",
    fallback: "none",
    meaning:
      "OTLP/HTTP receiver that gets traces, metrics and logs: its URL without `/v1/traces`. Without it, and without the standard variables of OpenTelemetry (`OTEL_EXPORTER_OTLP_ENDPOINT` and others), nothing is sent. [Tracing](tracing.md) says which of those are heeded.",
  },
  {
    name: "SYNCV3_OTLP_USERNAME",
    group: "Seeing it",
    fallback: "none",
    meaning: "User name for the receiver (Basic). Only with `SYNCV3_OTLP_PASSWORD`.",
  },
  {
    name: "SYNCV3_OTLP_PASSWORD",
    group: "Seeing it",
    fallback: "none",
    meaning: "Password for the receiver.",
    hasFileForm: true,
  },
  {
    name: "SYNCV3_ALLOW",
    group: "Limits",
    fallback: "everybody",
    meaning:
      "Who is served, and nobody else: user ids and server names, separated by commas, with `*` and `?` where anything may stand (`@alice:example.org`, `@bot-*:example.org`, `*.example.org`). Others are answered 403.",
  },
  {
    name: "SYNCV3_DENY",
    group: "Limits",
    fallback: "nobody",
    meaning: "Who is not served, whatever `SYNCV3_ALLOW` says; written like it.",
  },
  {
    name: "SYNCV3_RATE_LIMIT",
    group: "Limits",
    fallback: "200",
    meaning:
      "Requests that a device may make a second in the long run; beyond it they are answered 429. Waiting for news, taking them as they come, and recovering cost nothing. `0` limits nobody. [Limits](limits.md) says what counts.",
  },
  {
    name: "SYNCV3_RATE_BURST",
    group: "Limits",
    fallback: "100 times `SYNCV3_RATE_LIMIT`",
    meaning: "Requests that a device may make at once, before that.",
  },
  {
    name: "SYNCV3_POLLER_IDLE",
    group: "Tuning",
    fallback: "3d",
    meaning:
      "After so long without a request of its device a poller is parked; the next request resumes it where it stopped. A number with `m`, `h` or `d`, or `never`.",
  },
  {
    name: "SYNCV3_FIRST_SYNCS",
    group: "Tuning",
    fallback: "8",
    meaning: "First syncs running at once on each poller host. They are the heaviest thing a homeserver is asked for.",
  },
  {
    name: "SYNCV3_SYNC_HOSTS",
    group: "Tuning",
    fallback: "one for every two cores, at most 8",
    meaning: "Workers that serve clients.",
  },
  {
    name: "SYNCV3_POLLER_HOSTS",
    group: "Tuning",
    fallback: "one for every four cores, at most 4",
    meaning: "Workers that poll the homeserver.",
  },
  {
    name: "SYNCV3_SHARED_WORKER",
    group: "Tuning",
    fallback: "1 on one or two cores with one host of each kind, else 0",
    meaning:
      "`1` runs ingest, pollers and clients in one Worker: less memory and less CPU. `0` gives each a Worker of its own: more at once, where there are cores for it.",
  },
  {
    name: "SYNCV3_KEEP_EVENTS",
    group: "Tuning",
    fallback: "10000",
    meaning:
      "Timeline events kept of each room; older ones, but for state, are removed little by little, and clients get them from the homeserver. At least 500, or `all`.",
  },
  {
    name: "SYNCV3_CACHE_MB",
    group: "Tuning",
    fallback: "128",
    meaning: "Memory for cached events in MiB, all Workers together.",
  },
] as const satisfies readonly Variable[];

/** Their names. */
export type VariableName = (typeof VARIABLES)[number]["name"];

/** All variables there are. */
export const ALL_VARIABLES: readonly Variable[] = VARIABLES;

/** Those of the Go proxy that mean nothing here, and what to do instead. */
export const OBSOLETE_VARIABLES: Readonly<Record<string, string>> = {
  SYNCV3_PPROF:
    "there is no Go runtime to profile here: remove it; SYNCV3_ADMIN makes CPU profiles and heap snapshots, SYNCV3_PROM and SYNCV3_OTLP_URL show where time goes",
  SYNCV3_SENTRY_DSN: "errors are logged and traced, not sent to Sentry: remove it; SYNCV3_OTLP_URL sends traces",
};
