import { describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import { SUPERVISOR } from "#actors/addresses.ts";
import type { HostId } from "#actors/runtime/placement.ts";
import type { SupervisorMessage } from "#actors/supervisor/messages.ts";
import { supervisorKind } from "#actors/supervisor/supervisor-actor.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { outcomeOf, soloHost } from "../runtime/rig.ts";

const HOSTS: HostId[] = ["ingest:0", "sync:0"];

/** A supervisor over hosts that are only names; pings are answered unless their host hangs. */
function rig() {
  const solo = soloHost();
  const done: string[] = [];
  const hanging = new Set<string>();
  const failing = new Set<string>();
  const unusable = new Set<string>();
  const gaveUp: string[] = [];
  /** Launches end when this does. */
  const gate = { opened: Promise.resolve() };
  solo.host.addKinds({
    supervisor: supervisorKind({
      hosts: HOSTS,
      metrics: solo.metrics,
      onEscalate: (reason) => gaveUp.push(reason),
      control: {
        async launch(host, incarnation) {
          done.push(`launch ${host} ${incarnation}`);
          await gate.opened;
          if (failing.has(host)) throw new Error("no memory");
          if (unusable.has(host)) throw new SyncError("unusable_setup", "another secret");
        },
        beginAll: async () => void done.push("begin all"),
        begin: async (host) => void done.push(`begin ${host}`),
        ping: (host) => (hanging.has(host) ? new Promise(() => {}) : Promise.resolve()),
        kill: (host, reason) => void done.push(`kill ${host}: ${reason}`),
      },
    }),
  });
  const tell = async (message: Exclude<SupervisorMessage, { reply: unknown }>): Promise<void> => {
    solo.host.tell(SUPERVISOR, message);
    await settlePromises();
  };
  const launch = (): Promise<string> =>
    outcomeOf(
      solo.host.ask<{ ok: true }>(SUPERVISOR, { type: "launch-hosts" }, { deadlineMs: 1000 }).then(({ ok }) => ok),
    );
  const died = (host: HostId, incarnation: number): Promise<void> =>
    tell({ type: "host-died", host, incarnation, reason: "a test" });
  return { ...solo, done, hanging, failing, unusable, gaveUp, gate, tell, launch, died };
}

describe("supervisor", () => {
  test("[SUP-8] starts hosts one after another in their order, and lets them begin when all are there", async () => {
    const { launch, done } = rig();
    expect(await launch()).toBe("ok: true");
    expect(done).toEqual(["launch ingest:0 1", "launch sync:0 1", "begin all"]);
  });

  test("[SUP-8] a host that cannot be started fails the launch", async () => {
    const { launch, failing, done } = rig();
    failing.add("sync:0");
    expect(await launch()).toBe("internal");
    expect(done).not.toContain("begin all");
  });

  test("[SUP-17] whoever launches learns that a host cannot be started as operators have set it up", async () => {
    const { launch, unusable } = rig();
    unusable.add("ingest:0");
    expect(await launch()).toBe("unusable_setup");
  });

  test("[SUP-8] a host that dies while others are being started fails the launch", async () => {
    const { launch, died, done, time } = rig();
    const launched = launch();
    await died("ingest:0", 1);
    expect(await launched).toBe("internal");
    done.length = 0;
    await time.advance(60_000);
    expect(done).toEqual([]);
  });

  test("[SUP-9] brings back what died, that one only: at once at first, later with growing delay", async () => {
    const { launch, died, done, time } = rig();
    await launch();
    done.length = 0;
    await died("sync:0", 1);
    await time.advance(0);
    expect(done).toEqual(["launch sync:0 2", "begin sync:0"]);
    await died("sync:0", 2);
    await time.advance(199);
    expect(done).toHaveLength(2);
    await time.advance(1);
    expect(done.slice(2)).toEqual(["launch sync:0 3", "begin sync:0"]);
  });

  test("[SUP-9] news of an earlier life is ignored", async () => {
    const { launch, died, done, time } = rig();
    await launch();
    await died("sync:0", 1);
    await time.advance(0);
    done.length = 0;
    await died("sync:0", 1);
    await time.advance(20_000);
    expect(done).toEqual([]);
  });

  test("[SUP-6] gives up when a host dies more often than its budget allows", async () => {
    const { launch, died, gaveUp, time } = rig();
    await launch();
    for (let incarnation = 1; incarnation <= 5; incarnation++) {
      await died("ingest:0", incarnation);
      await time.advance(4000);
    }
    expect(gaveUp).toEqual([]);
    await died("ingest:0", 6);
    expect(gaveUp).toEqual(["restart budget of host ingest:0 spent, it last died of: a test"]);
  });

  test("[SUP-6] a host that cannot be started again counts as dead, and is tried until the budget is spent", async () => {
    const { launch, died, failing, gaveUp, time, done } = rig();
    await launch();
    failing.add("sync:0");
    await died("sync:0", 1);
    await time.advance(60_000);
    expect(done.filter((what) => what.startsWith("launch sync:0"))).toHaveLength(6);
    expect(gaveUp).toHaveLength(1);
  });

  test("[SUP-10] a host that is busy for 30 s lives; one that hangs is killed within 50 s", async () => {
    const { launch, hanging, done, time } = rig();
    await launch();
    done.length = 0;
    hanging.add("sync:0");
    await time.advance(35_000);
    expect(done).toEqual([]);
    await time.advance(15_000);
    expect(done).toContain("kill sync:0: no heartbeat");
    expect(done.some((what) => what.includes("ingest"))).toBe(false);
  });

  test("[SUP-14] a host that stands still because an operator wants it to is not dead, until that is over", async () => {
    const { launch, tell, hanging, done, time } = rig();
    await launch();
    hanging.add("sync:0");
    await time.advance(6000);
    done.length = 0;
    await tell({ type: "stall-begun", atMostMs: 120_000 });
    await time.advance(110_000);
    expect(done).toEqual([]);
    await tell({ type: "stall-ended" });
    await time.advance(35_000);
    expect(done).toEqual([]);
    await time.advance(10_000);
    expect(done).toEqual(["kill sync:0: no heartbeat"]);
    // Whoever began it may have died.
    const other = rig();
    await other.launch();
    other.hanging.add("sync:0");
    await other.tell({ type: "stall-begun", atMostMs: 120_000 });
    await other.time.advance(170_000);
    expect(other.done).toContain("kill sync:0: no heartbeat");
  });

  test("[SUP-10] time in which main itself stood still is not held against the hosts", async () => {
    const { launch, hanging, done, time, host } = rig();
    await launch();
    hanging.add("sync:0");
    await time.advance(6000);
    done.length = 0;
    // A suspended machine: the clock jumps, and the timers due meanwhile fire late and once.
    const mono = time.mono.bind(time);
    let jumpMs = 0;
    time.mono = () => mono() + jumpMs;
    jumpMs = 3_600_000;
    await time.advance(10_000);
    expect(done).toEqual([]);
    expect(host.isIdle).toBe(true);
  });

  test("[SUP-6] a host may ask to be killed, in its present life only", async () => {
    const { launch, tell, done } = rig();
    await launch();
    done.length = 0;
    await tell({ type: "host-escalated", host: "sync:0", incarnation: 9, reason: "old" });
    await tell({ type: "host-escalated", host: "sync:0", incarnation: 1, reason: "restart budget of user spent" });
    expect(done).toEqual(["kill sync:0: restart budget of user spent"]);
  });

  test("[SUP-6] a host that cannot be ended is a reason to give up: it would be a second writer", async () => {
    const { launch, tell, gaveUp } = rig();
    await launch();
    await tell({ type: "host-unkillable", host: "ingest:0" });
    expect(gaveUp).toEqual(["host ingest:0 cannot be stopped"]);
  });

  test("[SUP-7] during the shutdown nothing is brought back", async () => {
    const { launch, tell, died, done, time } = rig();
    await launch();
    await tell({ type: "begin-shutdown" });
    done.length = 0;
    await died("sync:0", 1);
    await time.advance(60_000);
    expect(done).toEqual([]);
  });

  test("[SUP-19] once the shutdown has begun no further host is started", async () => {
    const { launch, tell, gate, done } = rig();
    const { promise, resolve } = Promise.withResolvers<void>();
    gate.opened = promise;
    const launched = launch();
    await tell({ type: "begin-shutdown" });
    resolve();
    expect(await launched).toBe("internal");
    expect(done).toEqual(["launch ingest:0 1"]);
  });
});
