import type { Cancel } from "#src/ports/basics.ts";
import type { ConnectionStore, DeviceStore } from "#src/ports/stores.ts";
import type { HostServices } from "./compositions.ts";

const HOUR_MS = 3_600_000;
/** An abandoned connection is kept for this long: a phone that comes back after a holiday starts over, no other. */
const CONNECTION_LIFE_MS = 7 * 24 * HOUR_MS;
/** Clients use two or three. */
const CONNECTIONS_PER_DEVICE = 20;
/** An echo later than this is no echo any more. */
const TXN_LIFE_MS = HOUR_MS;

/** What housekeeping looks after. */
export interface HousekeepingStores {
  connections: Pick<ConnectionStore, "expire">;
  devices: Pick<DeviceStore, "expireTxns">;
}

/** Removes once an hour what nobody will ask for again; returns how to end it. */
export function keepHouse(
  stores: HousekeepingStores,
  services: Pick<HostServices, "clock" | "timers" | "logger" | "metrics">,
): Cancel {
  const { clock, timers, logger, metrics } = services;
  let cancel: Cancel = () => undefined;
  const clean = async (): Promise<void> => {
    const nowMs = clock.now();
    const connections = await stores.connections.expire(nowMs - CONNECTION_LIFE_MS, CONNECTIONS_PER_DEVICE);
    metrics.count("sliding_sync_api_expiry_conn_timed_out", connections);
    const txns = await stores.devices.expireTxns(nowMs - TXN_LIFE_MS);
    logger.debug({ connections, txns }, "housekeeping done");
  };
  const later = (): void => {
    cancel = timers.after(HOUR_MS, () => {
      clean()
        .catch((error: unknown) => logger.warn({ error: String(error) }, "housekeeping failed, again in an hour"))
        .finally(later);
    });
  };
  later();
  return () => cancel();
}
