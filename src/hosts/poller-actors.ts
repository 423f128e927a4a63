import { VERSION } from "#src/version.ts";
import { createHomeserver } from "#src/homeserver/client.ts";
import type { DeviceStore } from "#src/ports/stores.ts";
import type { UserId } from "#src/protocol/ids.ts";
import { INGEST, pollerAddress } from "#actors/addresses.ts";
import type { IngestCommand } from "#actors/ingest/messages.ts";
import { Companions } from "#actors/poller/companions.ts";
import { FirstSyncSlots } from "#actors/poller/first-sync-slots.ts";
import { createPollerKind } from "#actors/poller/poller-kind.ts";
import { PollerStats } from "#actors/poller/poller-stats.ts";
import type { HostInit } from "#actors/runtime/host-api.ts";
import { type HostId, hostId, placeOf } from "#actors/runtime/placement.ts";
import type { HostComposition, HostServices } from "./compositions.ts";
import type { HostOptions } from "./options.ts";
import { patiently } from "./patience.ts";

/** Pollers of all devices that were on line are started one after another, so that a start is no stampede. */
const RESUME_EVERY_MS = 10;
/** So many at each step: 2,000 devices are back within a second. */
const RESUME_AT_ONCE = 20;
/** With a poller that is never parked, devices unused for longer are left until they come by. */
const LONGEST_ABSENCE_MS = 30 * 86_400_000;

/** What a poller host is made of. */
export interface PollerHostParts extends Pick<HostOptions, "homeserver" | "pollerIdleMs" | "firstSyncs"> {
  /** Whether a user is served here; everybody unless given. */
  isAllowed?: (userId: UserId) => boolean;
  devices: DeviceStore;
}

/** Pollers, and their return after a start. */
export function composePollers(parts: PollerHostParts, init: HostInit, services: HostServices): HostComposition {
  const { homeserver, devices, pollerIdleMs } = parts;
  const companions = new Companions();
  const poller = createPollerKind({
    homeserver: createHomeserver({
      address: homeserver,
      version: VERSION,
      clock: services.clock,
      timers: services.timers,
      deadlineMs: homeserver.timeoutMs,
      onCall: (call) => services.upstream?.ended(call),
    }),
    devices,
    slots: new FirstSyncSlots(parts.firstSyncs),
    companions,
    stats: new PollerStats(services.metrics),
    config: {
      idleMs: pollerIdleMs,
      firstPollDeadlineMs: homeserver.initialTimeoutMs,
      pollDeadlineMs: homeserver.timeoutMs,
    },
  });
  const resuming = patiently(
    () => resumePollers({ isAllowed: () => true, ...parts }, init, services, pollerIdleMs ?? LONGEST_ABSENCE_MS),
    services,
  );
  const onPeer = (peer: HostId, change: "up" | "down"): void => {
    if (peer !== hostId("ingest", 0) || change === "down") return;
    const running: IngestCommand = { type: "pollers-run", devices: companions.all() };
    services.actors.tell(INGEST, running);
  };
  return { kinds: { poller }, onBegin: resuming.begin, onPeer, close: async () => resuming.close() };
}

/** Wakes the pollers of devices that were in use lately, in order of their last use. */
async function resumePollers(
  { devices, isAllowed }: Pick<Required<PollerHostParts>, "devices" | "isAllowed">,
  { topology, index }: HostInit,
  services: HostServices,
  withinMs: number,
): Promise<void> {
  const own = hostId("poller", index);
  const found = await devices.listDevices(services.clock.now() - withinMs);
  const addresses = found
    .filter(({ userId }) => isAllowed(userId))
    .map(({ userId, deviceId }) => pollerAddress(userId, deviceId))
    .filter((address) => placeOf(address, topology) === own);
  services.logger.info({ devices: addresses.length }, "resuming pollers");
  const resume = (from: number): void => {
    for (const address of addresses.slice(from, from + RESUME_AT_ONCE))
      services.actors.tell(address, { type: "touch" });
    if (from + RESUME_AT_ONCE < addresses.length) {
      services.timers.after(RESUME_EVERY_MS, () => resume(from + RESUME_AT_ONCE));
    }
  };
  resume(0);
}
