import { describe, expect, test } from "bun:test";
import { attend } from "#src/service-manager/attend.ts";
import { serviceManagerOf } from "#src/service-manager/service-manager.ts";
import type { ServiceManager } from "#src/service-manager/service-manager.ts";
import { settlePromises, VirtualTime } from "#test/support/virtual-time.ts";

function rig(env: Record<string, string> = {}) {
  const sent: string[] = [];
  const manager = serviceManagerOf({ NOTIFY_SOCKET: "/run/notify", ...env }, 7, (path, text) => {
    sent.push(`${path} ${text}`);
    return true;
  });
  const taken = (): string[] => sent.splice(0).map((line) => line.replace("/run/notify ", ""));
  return { manager: manager as ServiceManager, taken };
}

describe("the service manager", () => {
  test("[SYSD-1] without NOTIFY_SOCKET, or with a kind of socket that is not unix, nobody is told", () => {
    expect(serviceManagerOf({}, 7, () => true)).toBeNull();
    expect(serviceManagerOf({ NOTIFY_SOCKET: "vsock:2:1" }, 7, () => true)).toBeNull();
    expect(serviceManagerOf({ NOTIFY_SOCKET: "@abstract" }, 7, () => true)).not.toBeNull();
  });

  test("[SYSD-2] what is told is one line for each name", () => {
    const { manager, taken } = rig();
    manager.tell({ READY: "1", STATUS: "two\nlines" });
    expect(taken()).toEqual(["READY=1\nSTATUS=two lines"]);
  });

  test("[SYSD-3] the watchdog is ours when it names our process, or none", () => {
    expect(rig({ WATCHDOG_USEC: "30000000" }).manager.watchdogMs).toBe(30_000);
    expect(rig({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "7" }).manager.watchdogMs).toBe(30_000);
    expect(rig({ WATCHDOG_USEC: "30000000", WATCHDOG_PID: "8" }).manager.watchdogMs).toBeNull();
    expect(rig({ WATCHDOG_USEC: "soon" }).manager.watchdogMs).toBeNull();
    expect(rig().manager.watchdogMs).toBeNull();
  });
});

describe("attend", () => {
  const IDLE = (): Promise<null> => Promise.resolve(null);

  test("[SYSD-4] start-up asks for more time for as long as it takes, and READY says where clients are served", async () => {
    const [time, { manager, taken }] = [new VirtualTime(), rig()];
    const attendance = attend({ manager, timers: time, problem: () => null, busyWith: IDLE });
    expect(taken()).toEqual(["STATUS=starting", "EXTEND_TIMEOUT_USEC=20000000"]);
    await time.advance(12_000);
    expect(taken()).toEqual(["EXTEND_TIMEOUT_USEC=20000000", "EXTEND_TIMEOUT_USEC=20000000"]);
    attendance.ready("http://[::1]:8008");
    expect(taken()).toEqual(["READY=1\nSTATUS=serving clients on http://[::1]:8008"]);
    await time.advance(60_000);
    expect(taken()).toEqual([]);
  });

  test("[SYSD-8] while it starts it tells what it is busy with, and nothing of that once it is ready", async () => {
    const [time, { manager, taken }] = [new VirtualTime(), rig()];
    let busyWith: Promise<string | null> = Promise.resolve("migrating the database: 0003_x, 4 of 8");
    const attendance = attend({ manager, timers: time, problem: () => null, busyWith: () => busyWith });
    await time.advance(10_000);
    const more = "EXTEND_TIMEOUT_USEC=20000000";
    const status = "STATUS=starting: migrating the database: 0003_x, 4 of 8";
    expect(taken()).toEqual(["STATUS=starting", more, more, status, more]);
    busyWith = Promise.resolve(null);
    await time.advance(5000);
    expect(taken()).toEqual([more, "STATUS=starting"]);
    const { promise, resolve } = Promise.withResolvers<string | null>();
    busyWith = promise;
    await time.advance(5000);
    attendance.ready("http://[::1]:8008");
    resolve("too late");
    await settlePromises();
    expect(taken()).toEqual([more, "READY=1\nSTATUS=serving clients on http://[::1]:8008"]);
  });

  test("[SYSD-5] the watchdog is fed twice in its interval while all hosts live, and starves while one is down", async () => {
    const [time, { manager, taken }] = [new VirtualTime(), rig({ WATCHDOG_USEC: "30000000" })];
    let problem: string | null = null;
    const attendance = attend({ manager, timers: time, problem: () => problem, busyWith: IDLE });
    attendance.ready("/run/x.sock");
    taken();
    await time.advance(30_000);
    expect(taken()).toEqual(["WATCHDOG=1", "WATCHDOG=1"]);
    problem = "down: sync:0";
    await time.advance(45_000);
    expect(taken()).toEqual(["STATUS=down: sync:0"]);
    problem = null;
    await time.advance(15_000);
    expect(taken()).toEqual(["STATUS=serving clients on /run/x.sock", "WATCHDOG=1"]);
  });

  test("[SYSD-6] STOPPING is the last that is told, even when it comes before READY", async () => {
    const [time, { manager, taken }] = [new VirtualTime(), rig({ WATCHDOG_USEC: "30000000" })];
    const attendance = attend({ manager, timers: time, problem: () => null, busyWith: IDLE });
    taken();
    attendance.stopping();
    expect(taken()).toEqual(["STOPPING=1\nSTATUS=ending: requests under way are answered"]);
    attendance.ready("too late");
    await time.advance(60_000);
    expect(taken()).toEqual([]);
  });

  test("[SYSD-7] without a service manager nothing happens", () => {
    const time = new VirtualTime();
    const attendance = attend({ manager: null, timers: time, problem: () => null, busyWith: IDLE });
    attendance.ready("x");
    attendance.stopping();
    expect(time.pendingCount).toBe(0);
  });
});
