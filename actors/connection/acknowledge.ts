import type { Engine } from "#src/protocol/engine/engine-api.ts";
import { LOOSE } from "#src/protocol/loose-pos.ts";
import type { PosClaims } from "#src/protocol/pos.ts";
import type { DeviceReader } from "#actors/user/live-device.ts";
import { receivedToDevice, type ResponseWorkDeps } from "./response-work.ts";

type ToDeviceDeps = Pick<ResponseWorkDeps, "toDeviceToken" | "directory">;

/**
 * Several processes of a client may each be somewhere else under one connection id, and nothing is known of any but the one that asks:
 * so many changes of device lists are kept for the others.
 */
const KEPT_FOR_OTHERS = 500;

/** Deletes what the client's request says it has received; what is returned is under way. */
export function acknowledge(
  claims: PosClaims | null,
  engine: Engine,
  { device, connId }: DeviceReader,
  deps: ToDeviceDeps,
): (Promise<void> | null)[] {
  const { to_device: toDevice, e2ee } = engine.params.extensions;
  const received = toDevice.enabled ? receivedToDevice(engine, deps) : null;
  const toldSince = e2ee.enabled ? engine.extensionSince("e2ee") : null;
  // Responses before the extension spoke told nothing, whatever their position.
  const wasTold = claims !== null && toldSince !== null && toldSince <= claims.seq;
  const isShared = claims?.incarnation === LOOSE;
  device.ended(connId, { toDevice: !toDevice.enabled, deviceLists: !e2ee.enabled });
  return [
    received === null ? null : device.acknowledgeToDevice(connId, received),
    wasTold ? device.acknowledgeDeviceLists(connId, claims.streamPos, isShared ? KEPT_FOR_OTHERS : 0) : null,
  ];
}

/** True when no response would have anything in it: the usual case of a request that waits for news. */
export function hasNothingToSay(engine: Engine, { device, connId }: DeviceReader, deps: ToDeviceDeps): boolean {
  if (engine.isDirty || engine.isFirst || engine.hasUnheardExtensions) return false;
  if (!engine.params.extensions.to_device.enabled) return true;
  const since = receivedToDevice(engine, deps);
  return device.snapshot !== null && device.toDevicePos <= device.toDeviceAfter(connId, since);
}
