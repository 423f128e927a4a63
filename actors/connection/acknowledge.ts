import type { ConnectionEngine } from "#src/protocol/engine/engine.ts";
import type { DeviceId } from "#src/protocol/ids.ts";
import type { PosClaims } from "#src/protocol/pos.ts";
import type { LiveUser } from "#actors/user/live-user.ts";
import { receivedToDevice, type ResponseWorkDeps } from "./response-work.ts";

type ToDeviceDeps = Pick<ResponseWorkDeps, "toDeviceToken" | "directory">;

/** Deletes what the client's request says it has received; what is returned is under way. */
export function acknowledge(
  claims: PosClaims | null,
  engine: ConnectionEngine,
  user: LiveUser,
  deviceId: DeviceId,
  deps: ToDeviceDeps,
): (Promise<void> | null)[] {
  const { to_device: toDevice, e2ee } = engine.params.extensions;
  const received = toDevice.enabled ? receivedToDevice(engine, deps) : null;
  const toldSince = e2ee.enabled ? engine.extensionSince("e2ee") : null;
  // Responses before the extension spoke told nothing, whatever their position.
  const wasTold = claims !== null && toldSince !== null && toldSince <= claims.seq;
  return [
    received === null ? null : user.acknowledgeToDevice(deviceId, received),
    wasTold ? user.acknowledgeDeviceLists(deviceId, claims.streamPos) : null,
  ];
}

/** True when no response would have anything in it: the usual case of a request that waits for news. */
export function hasNothingToSay(
  engine: ConnectionEngine,
  user: LiveUser,
  deviceId: DeviceId,
  deps: ToDeviceDeps,
): boolean {
  if (engine.isDirty || engine.isFirst || engine.hasUnheardExtensions) return false;
  if (!engine.params.extensions.to_device.enabled) return true;
  const device = user.device(deviceId);
  return device !== null && device.toDevicePos <= (receivedToDevice(engine, deps) ?? 0);
}
