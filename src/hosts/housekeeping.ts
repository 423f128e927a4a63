import type { Cancel } from "#src/ports/basics.ts";
import { CONNECTIONS_PER_DEVICE } from "#src/protocol/ids.ts";
import type { ConnectionStore, DeviceStore, RetentionPlace, RetentionStore } from "#src/ports/stores.ts";
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
  retention: RetentionStore;
}

/** Between two steps of a walk over all rooms, so that it is not felt. */
const STEP_PAUSE_MS = 500;
/** Tables of one hour. */
const CLEARED_AT_ONCE = 10;
/** Of rooms that nobody of ours is in: as much as is ever sent at once. */
const KEPT_OF_OTHERS = 100;

type TokenUnused = Extract<PollerCommand, { type: "token-unused" }>;

/** Removes once an hour what nobody will ask for again; returns how to end it. `keepEvents`: of each room; null = all. */
export function keepHouse(
  stores: HousekeepingStores,
  keepEvents: number | null,
  services: Pick<HostServices, "clock" | "timers" | "logger" | "metrics" | "actors">,
): Cancel {
  const { clock, timers, logger, metrics, actors } = services;
  let cancel: Cancel = () => undefined;
  const life = { isEnded: false };
  const keep = keepEvents === null ? null : { ours: keepEvents, others: Math.min(keepEvents, KEPT_OF_OTHERS) };
  const pause = (): Promise<void> =>
    new Promise((resolve) => {
      cancel = timers.after(STEP_PAUSE_MS, resolve);
    });
  const walkRooms = async (): Promise<void> => {
    const removed = { events: 0, receipts: 0 };
    for (let from: RetentionPlace | null | undefined; from !== null && !life.isEnded;) {
      if (from !== undefined) await pause();
      const { events, receipts, next } = await stores.retention.trim(from ?? null, keep);
      removed.events += events;
      removed.receipts += receipts;
      if (events > 0) metrics.count("retention_removed_total", events, { kind: "events" });
      if (receipts > 0) metrics.count("retention_removed_total", receipts, { kind: "receipts" });
      from = next;
    }
    logger.debug(removed, "retention done");
  };
  const clearUp = async (): Promise<void> => {
    for (let count = 0; count < CLEARED_AT_ONCE && !life.isEnded; count += 1) {
      const cleared = await stores.retention.clearUp();
      if (cleared === null) return;
      logger.debug(cleared, "space of removed rows is used again");
      await pause();
    }
  };
  const clean = async (): Promise<void> => {
    const nowMs = clock.now();
    const connections = await stores.connections.expire(nowMs - CONNECTION_LIFE_MS, CONNECTIONS_PER_DEVICE);
    metrics.count("sliding_sync_api_expiry_conn_timed_out", connections);
    const txns = await stores.devices.expireTxns(nowMs - TXN_LIFE_MS);
    const sticky = await stores.retention.expireSticky(nowMs);
    const tokens = await stores.devices.expireTokens(nowMs - TOKEN_LIFE_MS);
    for (const { tokenHash, userId, deviceId } of tokens) {
      const unused: TokenUnused = { type: "token-unused", tokenHash };
      actors.tell(pollerAddress(userId, deviceId), unused);
      const expired: GatewayMessage = { type: "token-expired", tokenHash, userId, deviceId };
      actors.tell(GATEWAY, expired);
    }
    const devices = await stores.devices.expireDevices(nowMs - TOKENLESS_DEVICE_LIFE_MS, nowMs);
    for (const [kind, count] of Object.entries({ connections, txns, sticky, tokens: tokens.length, devices })) {
      if (count > 0) metrics.count("retention_removed_total", count, { kind });
    }
    logger.debug({ connections, txns, sticky, tokens: tokens.length, devices }, "housekeeping done");
    await walkRooms();
    await clearUp();
  };
  const later = (): void => {
    cancel = timers.after(HOUR_MS, () => {
      clean()
        .catch((error: unknown) => logger.warn({ error: String(error) }, "housekeeping failed, again in an hour"))
        .finally(later);
    });
  };
  later();
  return () => {
    life.isEnded = true;
    cancel();
  };
}
