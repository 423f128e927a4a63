import { createHomeserver } from "#src/homeserver/client.ts";
import { VERSION } from "#src/version.ts";
import type { DeviceStore } from "#src/ports/stores.ts";
import { pollerAddress } from "#actors/addresses.ts";
import { FirstSyncSlots } from "#actors/poller/first-sync-slots.ts";
import { createPollerKind } from "#actors/poller/poller-actor.ts";
import { PollerStats } from "#actors/poller/poller-stats.ts";
import { hostId, placeOf, type Topology } from "#actors/runtime/placement.ts";
import type { ComposeHost, HostServices } from "./compositions.ts";
import type { HostOptions } from "./options.ts";
import { openStorage } from "./storage.ts";

/** Pollers of all devices that were on line are started one after another, so that a start is no stampede. */
const RESUME_EVERY_MS = 10;
/** So many at each step: 2,000 devices are back within a second. */
const RESUME_AT_ONCE = 20;
/** With a poller that is never parked, devices unused for longer are left until they come by. */
const LONGEST_ABSENCE_MS = 30 * 86_400_000;

/** Every device's poller whose user is placed on this host. */
export const composePollerHost: ComposeHost = async (init, services) => {
  const options = init.options as HostOptions;
  const storage = await openStorage(options.storage, services, { migrate: false });
  const { homeserver } = options;
  const poller = createPollerKind({
    homeserver: createHomeserver({
      address: homeserver,
      version: VERSION,
      clock: services.clock,
      timers: services.timers,
      deadlineMs: homeserver.timeoutMs,
    }),
    devices: storage.devices,
    slots: new FirstSyncSlots(options.firstSyncs),
    stats: new PollerStats(services.metrics),
    config: {
      idleMs: options.pollerIdleMs,
      firstPollDeadlineMs: homeserver.initialTimeoutMs,
      pollDeadlineMs: homeserver.timeoutMs,
    },
  });
  return {
    kinds: { poller },
    onBegin: () =>
      resumePollers(storage.devices, services, init.topology, init.index, options.pollerIdleMs ?? LONGEST_ABSENCE_MS),
    close: () => storage.close(),
  };
};

/** Wakes the pollers of devices that were in use lately, in order of their last use. */
async function resumePollers(
  devices: DeviceStore,
  services: HostServices,
  topology: Topology,
  index: number,
  withinMs: number,
): Promise<void> {
  const own = hostId("poller", index);
  const found = await devices.listDevices(services.clock.now() - withinMs);
  const addresses = found
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
