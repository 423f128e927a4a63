import type { DeviceRecord } from "#src/ports/stores.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { GATEWAY, INGEST } from "#actors/addresses.ts";
import type { GatewayMessage } from "#actors/gateway/messages.ts";
import type { IngestCommand, PollerSettled } from "#actors/ingest/messages.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import type { PollerMessage } from "./messages.ts";
import type { PollerDeps } from "./poller-deps.ts";
import { STORE_DEADLINE_MS } from "./storing.ts";

type SettlePoller = Omit<Extract<IngestCommand, { type: "settle-poller" }>, "reply">;

interface Who {
  readonly userId: UserId;
  readonly deviceId: DeviceId;
}

/**
 * What is known of a device beyond its poller: it is read from storage, which comes back as a message, of which only the latest counts;
 * and others are told when its token is refused.
 */
export class DeviceLoading {
  readonly #context: ActorContext<PollerMessage>;
  readonly #devices: PollerDeps["devices"];
  readonly #who: Who;
  #latest = 0;

  constructor(context: ActorContext<PollerMessage>, devices: PollerDeps["devices"], who: Who) {
    this.#context = context;
    this.#devices = devices;
    this.#who = who;
  }

  isLatest(loadId: number): boolean {
    return loadId === this.#latest;
  }

  /** Where the poller begins from. What an earlier life sent to ingest may still be on its way: `since` is read behind it. */
  beginAnew(deadTokenHash: string | null): void {
    const settle: SettlePoller = { type: "settle-poller", ...this.#who };
    const settled = this.#context.ask<PollerSettled>(INGEST, settle, { deadlineMs: STORE_DEADLINE_MS });
    this.#pipe(settled.then(() => this.#load(deadTokenHash)));
  }

  /** A newer token is there. */
  again(deadTokenHash: string | null): void {
    this.#pipe(this.#load(deadTokenHash));
  }

  /** The homeserver does not take the token any more. */
  tokenRefused(tokenHash: string, isSoftLogout: boolean): void {
    this.#context.log.info({ token_hash: tokenHash, soft_logout: isSoftLogout }, "access token refused");
    const expired: GatewayMessage = { type: "token-expired", tokenHash, ...this.#who };
    this.#context.tell(GATEWAY, expired);
  }

  /** Without the token that is known to be dead. */
  async #load(deadTokenHash: string | null): Promise<DeviceRecord | null> {
    if (deadTokenHash !== null) await this.#devices.removeToken(deadTokenHash);
    return this.#devices.loadDevice(this.#who.userId, this.#who.deviceId);
  }

  #pipe(loaded: Promise<DeviceRecord | null>): void {
    const loadId = ++this.#latest;
    this.#context.pipe(
      loaded,
      (device) => ({ type: "device-loaded", loadId, device }),
      (error) => ({ type: "load-failed", loadId, error }),
    );
  }
}
