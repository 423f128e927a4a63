import { userFilter } from "#src/config/user-patterns.ts";
import type { ComposeHost } from "./compositions.ts";
import type { HostOptions } from "./options.ts";
import { composePollers } from "./poller-actors.ts";
import { openStorage } from "./storage.ts";

/** Every device's poller whose user is placed on this host. */
export const composePollerHost: ComposeHost = async (init, services) => {
  const options = init.options as HostOptions;
  const storage = await openStorage(options.storage, services, { migrate: false });
  const host = composePollers(
    { ...options, isAllowed: userFilter(options.users), devices: storage.devices },
    init,
    services,
  );
  return {
    ...host,
    close: async () => {
      await host.close?.();
      await storage.close();
    },
  };
};
