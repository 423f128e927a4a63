import { startEmbeddedDatabase } from "#db/embedded.ts";
import type { ComposeHost } from "./compositions.ts";
import type { HostOptions } from "./options.ts";

/** The embedded database: no actors, but a socket for the pools of all other hosts. */
export const composeStoreHost: ComposeHost = async (init, services) => {
  const { storage } = init.options as HostOptions;
  const { timers, logger } = services;
  const embedded = await startEmbeddedDatabase({ dataDir: storage.dataDir, timers, logger });
  return { kinds: {}, close: () => embedded.close() };
};
