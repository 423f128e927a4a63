import { expect, test } from "bun:test";
import { connectionAddress, userAddress } from "#actors/addresses.ts";
import type { ActorContext, Address } from "#actors/runtime/actor.ts";
import type { UserMessage } from "#actors/user/messages.ts";
import { UserActor, type UserDeps } from "#actors/user/user-actor.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import { recordingLogger } from "#test/support/recording.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

const USER = "@alice:hs" as UserId;
const DEVICE = "DEV" as DeviceId;
const LONG_MS = 60 * 60_000;

/** A user whose poller never answers, so that nothing is read. */
function start(): { actor: UserActor; time: VirtualTime; stops: () => number } {
  const time = new VirtualTime();
  let stops = 0;
  const context: ActorContext<UserMessage> = {
    self: userAddress(USER),
    log: recordingLogger([]),
    clock: time,
    rng: { next: () => 0.5 },
    tell: () => undefined,
    ask: () => new Promise(() => undefined),
    after: (delayMs, message) => time.after(delayMs, () => actor.receive(message)),
    pipe: () => undefined,
    stopSelf: () => (stops += 1),
  };
  const actor: UserActor = new UserActor(context, { firstSyncDeadlineMs: 1000 } as UserDeps);
  return { actor, time, stops: () => stops };
}

const connection = (connId: string): Address => connectionAddress(USER, DEVICE, connId as ConnId);

test("[ACT-17] a user stops some time after the last connection is gone, and not before", async () => {
  const { actor, time, stops } = start();
  for (const connId of ["one", "two"])
    actor.receive({ type: "attach", deviceId: DEVICE, connection: connection(connId) });
  actor.receive({ type: "detach", connection: connection("one") });
  await time.advance(LONG_MS);
  expect(stops()).toBe(0);
  actor.receive({ type: "detach", connection: connection("two") });
  await time.advance(LONG_MS);
  expect(stops()).toBe(1);
});
