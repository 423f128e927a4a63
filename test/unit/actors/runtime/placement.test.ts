import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { connectionAddress, directoryAddress, INGEST, pollerAddress, userAddress } from "#actors/addresses.ts";
import { placeOf, shardHash } from "#actors/runtime/placement.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";

const TOPOLOGY = { poller: 3, sync: 4 };

describe("placeOf", () => {
  test("[ACT-2] puts a user, all their connections and nobody's singleton on one sync host that exists", () => {
    fc.assert(
      fc.property(fc.string(), fc.string(), fc.string(), fc.string(), (user, device, otherDevice, conn) => {
        const userId = user as UserId;
        const place = placeOf(userAddress(userId), TOPOLOGY);
        expect(place).toMatch(/^sync:[0-3]$/);
        for (const deviceId of [device, otherDevice]) {
          expect(placeOf(connectionAddress(userId, deviceId as DeviceId, conn as ConnId), TOPOLOGY)).toBe(place);
          expect(placeOf(pollerAddress(userId, deviceId as DeviceId), TOPOLOGY)).toMatch(/^poller:[0-2]$/);
        }
      }),
    );
    expect(placeOf(INGEST, TOPOLOGY)).toBe("ingest:0");
    expect(placeOf(directoryAddress(2), TOPOLOGY)).toBe("sync:2");
  });

  test("[ACT-2] spreads users that differ in a digit evenly", () => {
    const counts = [0, 0, 0, 0];
    for (let i = 0; i < 4000; i++) {
      const index = shardHash(`@user${i}:example.org`) % 4;
      counts[index] = (counts[index] ?? 0) + 1;
    }
    for (const count of counts) expect(Math.abs(count - 1000)).toBeLessThan(120);
  });

  test("[ACT-2] hashes the same for ever: places are computed on every host and must agree", () => {
    expect(shardHash("@alice:example.org")).toBe(3_572_424_377);
  });
});
