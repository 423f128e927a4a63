import type { ConsoleSettings } from "#src/ports/console.ts";

/** What of the configuration decides where the console finds the homeserver. */
export interface HomeserverPlace {
  isForwarding: boolean;
  /** `SYNCV3_PUBLIC_SERVER`; null where it is not set. */
  publicServer: string | null;
  homeserver: { url: string; socketPath: string | null };
}

/** What the console is told on the listener for clients. */
export function clientConsole(place: HomeserverPlace, version: string, dialects: readonly string[]): ConsoleSettings {
  return { version, dialects, homeservers: homeserversOf(place), hasAdmin: false, needsToken: false };
}

/** What it is told on the listener for operators, where nobody syncs. */
export const adminConsole = (version: string, needsToken: boolean): ConsoleSettings => ({
  version,
  dialects: [],
  homeservers: [],
  hasAdmin: true,
  needsToken,
});

/**
 * Behind a reverse proxy the homeserver may share our address: nothing here can know, so the page tries that last.
 * A socket is nothing that a browser could reach.
 */
function homeserversOf({ isForwarding, publicServer, homeserver }: HomeserverPlace): string[] {
  if (isForwarding) return [""];
  const own = homeserver.socketPath === null && URL.canParse(homeserver.url) ? homeserver.url : null;
  const elsewhere = publicServer ?? own;
  return elsewhere === null ? [""] : [elsewhere, ""];
}
