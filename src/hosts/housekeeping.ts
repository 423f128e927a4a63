import type { Cancel } from "#src/ports/basics.ts";
import { CONNECTIONS_PER_DEVICE } from "#src/protocol/ids.ts";
import type { ConnectionStore, DeviceStore } from "#src/ports/stores.ts";
import { GATEWAY, pollerAddress } from "#actors/addresses.ts";
import type { GatewayMessage } from "#actors/gateway/messages.ts";
import type { PollerCommand } from "#actors/poller/messages.ts";
import type { HostServices } from "./compositions.ts";

const HOUR_MS = 3_600_000;
/** An abandoned connection is kept for this long: a phone that comes back after a holiday starts over, no other. */
const CONNECTION_LIFE_MS = 7 * 24 * HOUR_MS;
/** An echo later than this is no echo any more. */
const TXN_LIFE_MS = HOUR_MS;

/** A token that nobody has used for so long; its device's `since` stays, so that a later login goes on from there. */
const TOKEN_LIFE_MS = 30 * 24 * HOUR_MS;

/**
 * A device whose last token went so long ago has logged out for good: what waited for it is nobody's. One that was only
 * logged out softly, or not used, comes back earlier.
 */
const TOKENLESS_DEVICE_LIFE_MS = 90 * 24 * HOUR_MS;

/** What housekeeping looks after. */
export interface HousekeepingStores {
  connections: Pick<ConnectionStore, "expire">;
  devices: Pick<DeviceStore, "expireTxns" | "expireTokens" | "expireDevices">;
}

type TokenUnused = Extract<PollerCommand, { type: "token-unused" }>;

/** Removes once an hour what nobody will ask for again; returns how to end it. */
export function keepHouse(
  stores: HousekeepingStores,
  services: Pick<HostServices, "clock" | "timers" | "logger" | "metrics" | "actors">,
): Cancel {
  const { clock, timers, logger, metrics, actors } = services;
  let cancel: Cancel = () => undefined;
  const clean = async (): Promise<void> => {
    const nowMs = clock.now();
    const connections = await stores.connections.expire(nowMs - CONNECTION_LIFE_MS, CONNECTIONS_PER_DEVICE);
    metrics.count("sliding_sync_api_expiry_conn_timed_out", connections);
    const txns = await stores.devices.expireTxns(nowMs - TXN_LIFE_MS);
    const tokens = await stores.devices.expireTokens(nowMs - TOKEN_LIFE_MS);
    for (const { tokenHash, userId, deviceId } of tokens) {
      const unused: TokenUnused = { type: "token-unused", tokenHash };
      actors.tell(pollerAddress(userId, deviceId), unused);
      const expired: GatewayMessage = { type: "token-expired", tokenHash, userId, deviceId };
      actors.tell(GATEWAY, expired);
    }
    const devices = await stores.devices.expireDevices(nowMs - TOKENLESS_DEVICE_LIFE_MS, nowMs);
    logger.debug({ connections, txns, tokens: tokens.length, devices }, "housekeeping done");
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
