import type { Logger } from "#src/ports/basics.ts";
import type { Homeserver } from "#src/ports/homeserver.ts";

/** By which a homeserver says that it has simplified sliding sync itself. */
const FEATURE = "org.matrix.simplified_msc3575";

/** Where there are two who could answer a client, the operator chooses, and should know that there is a choice. */
export async function tellOfOwnSlidingSync(
  homeserver: Pick<Homeserver, "versions">,
  isForwarding: boolean,
  log: Logger,
): Promise<void> {
  const versions = await homeserver.versions();
  if (!versions.ok || versions.value.unstableFeatures[FEATURE] !== true) return;
  const advice = isForwarding
    ? "SYNCV3_FORWARD=1 answers them here, as far as glissade routes names their paths; let a reverse proxy send those paths to the homeserver to have it answer"
    : "a reverse proxy decides who answers: send the paths that glissade routes prints here, or leave them to the homeserver";
  log.warn({ feature: FEATURE, advice }, "the homeserver has sliding sync of its own");
}
