import { afterEach, beforeAll, describe, expect, test } from "bun:test";
import { directoryAddress, INGEST, pollerAddress, userAddress } from "#actors/addresses.ts";
import type { Asked, KindTable } from "#actors/runtime/actor.ts";
import type { ComposeHost } from "#src/hosts/compositions.ts";
import { probeAddress } from "#src/hosts/probe.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { type InProcess, type InProcessOptions, startInProcess } from "#test/support/in-process.ts";
import { recordingLogger } from "#test/support/recording.ts";
import { until } from "#test/support/until.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";
import { kindOf, outcomeOf } from "../actors/runtime/rig.ts";

type Message =
  | Asked<{ type: "park" }, string>
  | Asked<{ type: "life" }, number>
  | Asked<{ type: "relay"; index: number }, string>
  | { type: "throw" };

const ALICE = "@alice:hs" as UserId;
const POLLER = pollerAddress(ALICE, "D" as DeviceId);
const running: InProcess[] = [];

afterEach(async () => {
  for (const world of running.splice(0)) await world.stop();
});

let sharesWorker = false;

async function start(options: InProcessOptions): Promise<InProcess> {
  const world = await startInProcess({ ...options, sharesWorker });
  running.push(world);
  return world;
}

/** Hosts whose actors park, say which life of their host they live in, and ask on; with a log of what happened to them. */
function compositions(events: string[], more: { restartBudget?: { intensity: number; periodMs: number } } = {}) {
  const compose =
    (kind: keyof KindTable): ComposeHost =>
    ({ role, index, incarnation }) => ({
      kinds: {
        [kind]: kindOf<Message>(
          (context) => ({
            receive(message) {
              switch (message.type) {
                case "life":
                  message.reply.resolve(incarnation);
                  return;
                case "relay":
                  context
                    .ask<string>(directoryAddress(message.index), { type: "park" }, { deadlineMs: 5000 })
                    .then((value) => message.reply.resolve(value), message.reply.reject.bind(message.reply));
                  return;
                case "throw":
                  throw new Error("told to");
                case "park":
                  return;
              }
            },
            stop: (reason) => void events.push(`${role}:${index} ${reason}`),
          }),
          more,
        ),
      },
      onBegin: () => void events.push(`${role}:${index} begins`),
      onPeer: (peer, change) => {
        if (role === "ingest") events.push(`ingest sees ${peer} ${change}`);
      },
      onDrain: async () => void events.push(`${role}:${index} drained`),
      close: async () => void events.push(`${role}:${index} closed`),
    });
  return { ingest: compose("ingest"), poller: compose("poller"), sync: compose("directory") };
}

describe.each(["with Workers of their own", "in one Worker"])("hosts of one node %s", (way) => {
  beforeAll(() => {
    sharesWorker = way === "in one Worker";
  });

  test("[SUP-9] a host that dies takes its parked asks with it, for main and for other hosts, and comes back", async () => {
    const events: string[] = [];
    const world = await start({ topology: { sync: 2 }, compositions: compositions(events) });
    const fromMain = outcomeOf(world.ask(directoryAddress(1), { type: "park" }));
    const relay = { type: "relay", index: 1 };
    const throughIngest = outcomeOf(world.ask(INGEST, relay));
    await world.settled();
    events.length = 0;
    world.killHost("sync", 1);
    expect(await fromMain).toBe("actor_stopped");
    expect(await throughIngest).toBe("actor_stopped");
    await world.hostUp("sync", 1);
    expect(await outcomeOf(world.ask(directoryAddress(1), { type: "life" }))).toBe("ok: 2");
    expect(await outcomeOf(world.ask(directoryAddress(0), { type: "life" }))).toBe("ok: 1");
    await world.settled();
    expect(events).toEqual(["sync:1 closed", "ingest sees sync:1 down", "ingest sees sync:1 up", "sync:1 begins"]);
  });

  test("[SUP-9] while a host is down its asks fail at once, and waiting for it ends when it is back", async () => {
    const world = await start({ compositions: compositions([]) });
    world.killHost("poller");
    const askedMeanwhile = outcomeOf(world.ask(POLLER, { type: "life" }));
    const isUp = world.main.whenHostUp(POLLER, 5000);
    expect(world.main.hostsDown()).toEqual(["poller:0"]);
    expect(await askedMeanwhile).toBe("actor_stopped");
    expect(await isUp).toBe(true);
    expect(await outcomeOf(world.ask(POLLER, { type: "life" }))).toBe("ok: 2");
  });

  test("[SUP-9] main hears of each death and each return, to start again what nobody else would", async () => {
    const world = await start({ topology: { poller: 2 }, compositions: compositions([]) });
    const heard: string[] = [];
    world.main.onHostChange((host, change) => heard.push(`${host} ${change}`));
    await world.restartHost("poller", 1);
    await world.settled();
    expect(heard).toEqual(["poller:1 down", "poller:1 up"]);
  });

  test("[SUP-9] two hosts that die together both come back and find each other", async () => {
    const world = await start({ topology: { sync: 2 }, compositions: compositions([]) });
    world.killHost("sync", 0);
    world.killHost("ingest");
    await world.hostUp("ingest");
    await world.hostUp("sync", 0);
    await world.settled();
    const question = { type: "probe-route", route: ["sync:0", "poller:0", "ingest:0"], via: [] };
    expect(await world.ask<object>(probeAddress("ingest:0"), question)).toMatchObject({ host: "ingest:0" });
  });

  test("[SUP-6] a kind that spends its budget has its host killed and made anew", async () => {
    const world = await start({
      compositions: compositions([], { restartBudget: { intensity: 0, periodMs: 60_000 } }),
    });
    world.tell(INGEST, { type: "throw" });
    const gone = Promise.withResolvers<void>();
    world.main.onHostChange((host, change) => {
      if (host === "ingest:0" && change === "down") gone.resolve();
    });
    await gone.promise;
    await world.hostUp("ingest");
    expect(await outcomeOf(world.ask(INGEST, { type: "life" }))).toBe("ok: 2");
    expect(world.escalations).toEqual([]);
  });

  test("[SUP-18] what is on its way to a host when the shutdown begins is still taken in and answered", async () => {
    const world = await startInProcess({ compositions: compositions([]), sharesWorker });
    const asked = outcomeOf(world.ask(directoryAddress(0), { type: "life" }));
    const nothing = async (): Promise<void> => undefined;
    const hooks = { stopAccepting: nothing, closeServer: nothing, closePools: nothing, flushSpans: nothing };
    expect(await world.main.shutdown(hooks)).toBe(true);
    expect(await asked).toBe("ok: 1");
  });

  test("[SUP-19] a shutdown while a host is being made is clean, and ends the launch", async () => {
    const begun = Promise.withResolvers<void>();
    const mainOf = Promise.withResolvers<InProcess["main"]>();
    const logger = recordingLogger();
    const ingest: ComposeHost = () => {
      begun.resolve();
      return new Promise(() => {});
    };
    const mainKinds = (main: InProcess["main"]): KindTable => {
      mainOf.resolve(main);
      return {};
    };
    const launched = outcomeOf(startInProcess({ compositions: { ingest }, mainKinds, logger, sharesWorker }));
    await begun.promise;
    const nothing = async (): Promise<void> => undefined;
    const hooks = { stopAccepting: nothing, closeServer: nothing, closePools: nothing, flushSpans: nothing };
    expect(await (await mainOf.promise).shutdown(hooks)).toBe(true);
    expect(await launched).toBe("internal");
    expect(logger.lines.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
  });

  test("[SUP-7] a shutdown answers parked polls, then stops pollers, then flushes ingest, then closes", async () => {
    const events: string[] = [];
    const logger = recordingLogger();
    const world = await startInProcess({ compositions: compositions(events), logger, sharesWorker });
    const hook = (name: string) => async () => void events.push(name);
    const parked = [directoryAddress(0), INGEST, POLLER].map((to) => outcomeOf(world.ask(to, { type: "park" })));
    await world.settled();
    events.length = 0;
    const isClean = await world.main.shutdown({
      stopAccepting: hook("stop accepting"),
      closeServer: hook("close server"),
      closePools: hook("close main's pool"),
      flushSpans: hook("flush spans"),
    });
    expect(isClean).toBe(true);
    expect(await Promise.all(parked)).toEqual(["actor_stopped", "actor_stopped", "actor_stopped"]);
    expect(events.slice(0, 8)).toEqual([
      "stop accepting",
      "sync:0 drained",
      "sync:0 drained",
      "close server",
      "poller:0 drained",
      "poller:0 drained",
      "ingest:0 drained",
      "ingest:0 drained",
    ]);
    expect(events.at(-1)).toBe("flush spans");
    expect(new Set(events.slice(8, -1))).toEqual(
      new Set(["close main's pool", "sync:0 closed", "poller:0 closed", "ingest:0 closed"]),
    );
    expect(logger.lines.filter(({ level }) => level === "error" || level === "warn")).toEqual([]);
    expect(await outcomeOf(world.ask(userAddress(ALICE), { type: "park" }))).toBe("actor_stopped");
  });

  test("[SUP-8] a host whose composition fails fails the launch with its reason", async () => {
    const broken: ComposeHost = () => {
      throw new Error("no such table");
    };
    expect(await outcomeOf(startInProcess({ compositions: { sync: broken } }))).toBe("internal");
  });

  test("[SUP-16] the first life of the ingest host may take hours; a later one that hangs is given up in minutes", async () => {
    const time = new VirtualTime();
    const lives: number[] = [];
    const held = Promise.withResolvers<void>();
    const ingest: ComposeHost = async ({ incarnation }) => {
      lives.push(incarnation);
      if (incarnation === 1) await held.promise;
      if (incarnation === 2) await new Promise<never>(() => {});
      return { kinds: {} };
    };
    const turns = async (): Promise<void> => {
      for (let turn = 0; turn < 20; turn += 1) await new Promise((resolve) => setImmediate(resolve));
    };
    const pass = async (totalMs: number, isOver = (): boolean => false): Promise<void> => {
      for (let ms = 0; ms < totalMs && !isOver(); ms += 5000) {
        await time.advance(5000);
        await turns();
      }
    };
    const launched = start({ compositions: { ingest }, mainTime: { clock: time, timers: time } });
    await until("the first life", () => lives.length === 1);
    await pass(3_600_000);
    held.resolve();
    const world = await launched;
    world.killHost("ingest");
    await pass(30_000, () => lives.length === 2);
    const hungAtMs = time.mono();
    await pass(600_000, () => lives.length === 3);
    expect(lives).toEqual([1, 2, 3]);
    expect(time.mono() - hungAtMs).toBeLessThan(180_000);
    expect(world.escalations).toEqual([]);
  });
});
