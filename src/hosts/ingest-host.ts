import { createHomeserver } from "#src/homeserver/client.ts";
import { VERSION } from "#src/version.ts";
import { REPAIR } from "#actors/addresses.ts";
import { repairKind } from "#actors/repair/repair-actor.ts";
import { ingestKind } from "#actors/ingest/ingest-actor.ts";
import type { ComposeHost } from "./compositions.ts";
import type { HostOptions } from "./options.ts";
import { watchDatabaseSizes } from "./database-sizes.ts";
import { keepHouse } from "./housekeeping.ts";
import { openStorage } from "./storage.ts";

/** Of a host, its first life in this process. */
const FIRST = 1;

/** The single writer. In its first life it brings the database to this executable's schema, before anybody else looks at it. */
export const composeIngestHost: ComposeHost = async (init, services) => {
  const options = init.options as HostOptions;
  // A later life finds it as it should be, and whoever waits for that one has no hours.
  const isStart = init.incarnation === FIRST;
  const storage = await openStorage(options.storage, services, { migrate: isStart, isStart });
  let endHousekeeping = (): void => undefined;
  let endWatching = (): void => undefined;
  const { clock, timers, metrics } = services;
  const { homeserver: address } = options;
  const homeserver = createHomeserver({
    address,
    version: VERSION,
    clock,
    timers,
    deadlineMs: address.timeoutMs,
    onCall: (call) => services.upstream?.ended(call),
  });
  return {
    kinds: {
      ingest: ingestKind({ store: storage.ingest, metrics, syncHostCount: init.topology.sync }),
      repair: repairKind({
        homeserver,
        store: storage.repair,
        devices: storage.devices,
        reader: storage.rooms,
        metrics,
      }),
    },
    onBegin: () => {
      services.actors.tell(REPAIR, { type: "go-on" });
      endHousekeeping = keepHouse(storage, options.keepEvents, services);
      if (options.telemetry.hasMetrics) endWatching = watchDatabaseSizes(storage.admin, services);
    },
    close: () => {
      endHousekeeping();
      endWatching();
      return storage.close();
    },
  };
};
