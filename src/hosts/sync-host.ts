import type { ComposeHost } from "./compositions.ts";
import type { HostOptions } from "./options.ts";
import { openStorage } from "./storage.ts";
import { composeSyncHost } from "./sync-actors.ts";

/** A sync host over the real database. */
export const composeStoredSyncHost: ComposeHost = async (init, services) => {
  const options = init.options as HostOptions;
  const storage = await openStorage(options.storage, services, { migrate: false });
  const host = composeSyncHost({
    reader: storage.rooms,
    connections: storage.connections,
    ...services,
    mac: storage.mac,
    epoch: storage.epoch,
    importedPos: storage.importedPos,
    cacheBytes: options.cacheBytes,
    rateLimit: options.rateLimit,
    firstSyncDeadlineMs: options.homeserver.initialTimeoutMs,
  });
  return {
    ...host,
    close: async () => {
      await host.close?.();
      await storage.close();
    },
  };
};
