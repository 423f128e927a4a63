import type { AdminConfig } from "#src/config.ts";
import { SyncError } from "#src/errors.ts";
import { reachable } from "./probe-health.ts";

/** A server that does not answer by then does not answer. */
const ASK_DEADLINE_MS = 10_000;

/** Asks the admin listener that this configuration describes; null when nobody is there. */
export async function askAdmin(admin: AdminConfig, path: string): Promise<unknown> {
  const { bind, token } = admin;
  const origin = bind.kind === "unix" ? "http://localhost" : `http://${reachable(bind.host)}:${bind.port}`;
  let answer: Response;
  try {
    answer = await fetch(`${origin}${path}`, {
      signal: AbortSignal.timeout(ASK_DEADLINE_MS),
      headers: token === null ? {} : { authorization: `Bearer ${token}` },
      ...(bind.kind === "unix" ? { unix: bind.path } : {}),
    });
  } catch {
    return null;
  }
  const body: unknown = await answer.json().catch(() => null);
  if (answer.status === 200) return body;
  const said = typeof body === "object" && body !== null && "error" in body ? String(body.error) : "no Matrix error";
  throw new SyncError("internal", `the server answered ${answer.status}: ${said}`);
}
