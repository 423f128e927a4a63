import { ingestKind } from "#actors/ingest/ingest-actor.ts";
import type { ComposeHost } from "./compositions.ts";
import type { HostOptions } from "./options.ts";
import { keepHouse } from "./housekeeping.ts";
import { openStorage } from "./storage.ts";

/** The single writer. It brings the database to this executable's schema before anybody else looks at it. */
export const composeIngestHost: ComposeHost = async (init, services) => {
  const options = init.options as HostOptions;
  const storage = await openStorage(options.storage, services, { migrate: true });
  let endHousekeeping = (): void => undefined;
  return {
    kinds: {
      ingest: ingestKind({ store: storage.ingest, metrics: services.metrics, syncHostCount: init.topology.sync }),
    },
    onBegin: () => {
      endHousekeeping = keepHouse(storage, services);
    },
    close: () => {
      endHousekeeping();
      return storage.close();
    },
  };
};
