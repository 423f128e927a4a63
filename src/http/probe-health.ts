import type { Config } from "#src/config.ts";

/** A node that has not told its health by then has none. */
const PROBE_DEADLINE_MS = 8_000;

/** What the local listener says of its health. */
export interface ProbedHealth {
  ready: boolean;
  /** The body of `/health/ready`, or why there is none. */
  text: string;
}

/** Asks the listener that this configuration describes; for `--healthcheck`, which runs as a process of its own. */
export async function probeHealth(config: Pick<Config, "bind" | "tls">): Promise<ProbedHealth> {
  const { bind } = config;
  const scheme = config.tls === null ? "http" : "https";
  const origin = bind.kind === "unix" ? "http://localhost" : `${scheme}://${reachable(bind.host)}:${bind.port}`;
  try {
    const response = await fetch(`${origin}/health/ready`, {
      signal: AbortSignal.timeout(PROBE_DEADLINE_MS),
      // The certificate is made for the public name, and we ask ourselves.
      tls: { rejectUnauthorized: false },
      ...(bind.kind === "unix" ? { unix: bind.path } : {}),
    });
    return { ready: response.status === 200, text: await response.text() };
  } catch (error) {
    return { ready: false, text: `no answer at ${bind.kind === "unix" ? bind.path : origin}: ${reasonOf(error)}` };
  }
}

/** The runtime's own sentence is advice to programmers. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  if (error.name === "TimeoutError") return `nothing within ${PROBE_DEADLINE_MS / 1000} s`;
  const { code } = error as { code?: unknown };
  return code === "ECONNREFUSED" || code === "ConnectionRefused" || code === "ENOENT"
    ? "nobody listens there"
    : error.message;
}

/** The address by which a listener on all addresses is reached. */
export function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  if (host === "::") return "[::1]";
  return host.includes(":") ? `[${host}]` : host;
}
