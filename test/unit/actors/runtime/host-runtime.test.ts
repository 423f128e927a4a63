import { describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import type { Asked, Reply, StopReason } from "#actors/runtime/actor.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { at, kindOf, outcomeOf, soloHost } from "./rig.ts";

type Message =
  | Asked<{ type: "park" }, string>
  | Asked<{ type: "who" }, number>
  | { type: "settle"; value: string }
  | { type: "throw" }
  | { type: "note"; n: number }
  | { type: "later"; delayMs: number }
  | { type: "stop" };

/** An actor that does what it is told, and a log of all its lives. */
function rig(
  more: { onCrash?: "restart" | "stop"; mailboxLimit?: number; intensity?: number; failFactory?: () => boolean } = {},
) {
  const solo = soloHost();
  const notes: (number | string)[] = [];
  const stops: StopReason[] = [];
  let lives = 0;
  const { onCrash = "stop", mailboxLimit = 100, intensity } = more;
  solo.host.addKinds({
    probe: kindOf<Message>(
      (context) => {
        lives += 1;
        const life = lives;
        if (more.failFactory?.() === true) throw new Error("cannot start");
        let parked: Reply<string> | null = null;
        return {
          receive(message) {
            switch (message.type) {
              case "park":
                parked = message.reply;
                return;
              case "who":
                message.reply.resolve(life);
                return;
              case "settle":
                parked?.resolve(message.value);
                return;
              case "throw":
                throw new Error("told to");
              case "note":
                notes.push(message.n);
                return;
              case "later":
                context.after(message.delayMs, { type: "note", n: -life });
                return;
              case "stop":
                context.stopSelf();
            }
          },
          stop: (reason) => void stops.push(reason),
        };
      },
      {
        onCrash,
        mailboxLimit,
        ...(intensity === undefined ? {} : { restartBudget: { intensity, periodMs: 60_000 } }),
      },
    ),
  });
  const ask = (message: { type: string }, deadlineMs = 1000): Promise<string> =>
    outcomeOf(solo.host.ask(at("a"), message, { deadlineMs }));
  const tell = (message: Exclude<Message, { reply: unknown }>): void => solo.host.tell(at("a"), message);
  return { ...solo, notes, stops, ask, tell, lives: () => lives };
}

describe("turns", () => {
  test("[ACT-3] messages are taken one at a time in their order, and never inside the teller's turn", async () => {
    const { host } = soloHost();
    const order: string[] = [];
    host.addKinds({
      probe: kindOf<{ type: "go"; depth: number }>((context) => ({
        receive({ depth }) {
          order.push(`begin ${depth}`);
          const next = { type: "go", depth: depth + 1 };
          if (depth < 2) context.tell(context.self, next);
          order.push(`end ${depth}`);
        },
      })),
    });
    const first = { type: "go", depth: 0 };
    host.tell(at("a"), first);
    expect(order).toEqual([]);
    await settlePromises();
    expect(order).toEqual(["begin 0", "end 0", "begin 1", "end 1", "begin 2", "end 2"]);
  });

  test("[ACT-3] an actor that always has work does not keep others or I/O from theirs", async () => {
    const { host } = soloHost();
    let turns = 0;
    host.addKinds({
      probe: kindOf<{ type: "again" | "end" }>((context) => {
        let isEnded = false;
        return {
          receive(message) {
            if (message.type === "end") isEnded = true;
            if (isEnded) return;
            turns += 1;
            context.tell(context.self, message);
          },
        };
      }),
    });
    host.tell(at("busy"), { type: "again" });
    await new Promise((resolve) => setImmediate(resolve));
    await new Promise((resolve) => setImmediate(resolve));
    expect(turns).toBeGreaterThan(0);
    host.tell(at("busy"), { type: "end" });
  });

  test("[ACT-4] a parked reply settles once: what comes after is void", async () => {
    const { ask, tell } = rig();
    const answer = ask({ type: "park" });
    tell({ type: "settle", value: "first" });
    tell({ type: "settle", value: "second" });
    expect(await answer).toBe("ok: first");
  });
});

describe("crashes", () => {
  test("[SUP-4] a throw costs the incarnation: its parked asks are rejected, the next message finds a new one", async () => {
    const { ask, tell, stops, logger, metrics } = rig();
    const parked = ask({ type: "park" });
    tell({ type: "throw" });
    expect(await parked).toBe("actor_stopped");
    expect(await ask({ type: "who" })).toBe("ok: 2");
    expect(stops).toEqual(["crashed"]);
    expect(logger.lines.map(({ message, fields }) => [message, fields["during"]])).toEqual([
      ["actor crashed", "throw"],
    ]);
    expect(metrics.of("actor_restarts_total", { kind: "probe" })).toBe(1);
  });

  test("[SUP-4] messages waiting behind the poison are taken by the next incarnation, in order", async () => {
    const { tell, notes, lives } = rig();
    tell({ type: "note", n: 1 });
    tell({ type: "throw" });
    tell({ type: "note", n: 2 });
    tell({ type: "note", n: 3 });
    await settlePromises();
    expect(notes).toEqual([1, 2, 3]);
    expect(lives()).toBe(2);
  });

  test("[SUP-5] `restart` makes the next incarnation at once, `stop` waits for a message", async () => {
    const restarting = rig({ onCrash: "restart" });
    const stopping = rig({ onCrash: "stop" });
    for (const { tell } of [restarting, stopping]) tell({ type: "throw" });
    await settlePromises();
    expect([restarting.lives(), stopping.lives()]).toEqual([2, 1]);
  });

  test("[SUP-2] an actor that crashes again and again is made to wait, and its messages with it", async () => {
    const { tell, time, notes } = rig({ onCrash: "restart" });
    for (let i = 0; i < 3; i++) tell({ type: "throw" });
    tell({ type: "note", n: 7 });
    await time.advance(99);
    expect(notes).toEqual([]);
    // The second restart is due after 100 ms, its crash makes the third wait for another 200.
    await time.advance(1 + 199);
    expect(notes).toEqual([]);
    await time.advance(1);
    expect(notes).toEqual([7]);
  });

  test("[SUP-6] a spent budget asks for the host to be killed", async () => {
    const { tell, time, escalations } = rig({ intensity: 2 });
    for (let i = 0; i < 3; i++) tell({ type: "throw" });
    await time.advance(99);
    expect(escalations).toEqual([]);
    await time.advance(10_000);
    expect(escalations).toEqual(["restart budget of probe spent"]);
  });

  test("[SUP-4] a factory that throws rejects the message that activated the actor, and is tried again for the next", async () => {
    let failures = 1;
    const { ask, time, lives } = rig({ failFactory: () => failures-- > 0 });
    expect(await ask({ type: "who" })).toBe("actor_stopped");
    await time.advance(0);
    expect(await ask({ type: "who" })).toBe("ok: 2");
    expect(lives()).toBe(2);
  });

  test("[SUP-4] a piped result whose handler throws costs the actor, not the host", async () => {
    const { host, logger } = soloHost();
    host.addKinds({
      probe: kindOf<Asked<{ type: "pipe" }, never> | Asked<{ type: "fine" }, string>>((context) => ({
        receive(message) {
          if (message.type === "fine") {
            message.reply.resolve("fine");
            return;
          }
          context.pipe(
            Promise.resolve(1),
            () => {
              throw new Error("in the handler");
            },
            () => message,
          );
        },
      })),
    });
    const parked = outcomeOf(host.ask(at("a"), { type: "pipe" }, { deadlineMs: 1000 }));
    expect(await parked).toBe("actor_stopped");
    expect(logger.lines.map(({ fields }) => fields["during"])).toEqual(["piped result"]);
    expect(await outcomeOf(host.ask(at("a"), { type: "fine" }, { deadlineMs: 1000 }))).toBe("ok: fine");
  });
});

describe("mailbox overflow", () => {
  test("[ACT-5] beyond the bound an ask is rejected at once and a tell is a dead letter; what fitted is not lost", async () => {
    const { ask, tell, notes, metrics } = rig({ mailboxLimit: 2 });
    tell({ type: "note", n: 1 });
    tell({ type: "note", n: 2 });
    tell({ type: "note", n: 3 });
    expect(await ask({ type: "who" })).toBe("mailbox_full");
    await settlePromises();
    expect(notes).toEqual([1, 2]);
    expect(metrics.of("actor_dead_letters_total", { kind: "probe", reason: "mailbox_full" })).toBe(2);
  });

  test("[ACT-5] what an actor sends to itself arrives even when its mailbox is full", async () => {
    const { tell, notes, time } = rig({ mailboxLimit: 1 });
    tell({ type: "later", delayMs: 10 });
    await settlePromises();
    tell({ type: "note", n: 1 });
    const advanced = time.advance(10);
    await advanced;
    expect(new Set(notes)).toEqual(new Set([-1, 1]));
  });
});

describe("asks", () => {
  test("[ACT-6] a deadline ends an ask, and its late answer is ignored", async () => {
    const { ask, tell, time } = rig();
    const answer = ask({ type: "park" }, 500);
    await time.advance(499);
    const before = await Promise.race([answer, Promise.resolve("still open")]);
    expect(before).toBe("still open");
    await time.advance(1);
    expect(await answer).toBe("ask_timeout");
    tell({ type: "settle", value: "late" });
    await settlePromises();
    expect(time.pendingCount).toBe(0);
  });

  test("[ACT-6] an answered ask leaves no timer behind", async () => {
    const { ask, time } = rig();
    expect(await ask({ type: "who" })).toBe("ok: 1");
    expect(time.pendingCount).toBe(0);
  });

  test("[ACT-6] a kind the host does not have, and a host that is down, are told at once", async () => {
    const { host, metrics } = soloHost();
    expect(await outcomeOf(host.ask({ kind: "gateway", key: "", shard: "" }, { type: "x" }, { deadlineMs: 9 }))).toBe(
      "internal",
    );
    expect(await outcomeOf(host.ask({ kind: "ingest", key: "", shard: "" }, { type: "x" }, { deadlineMs: 9 }))).toBe(
      "actor_stopped",
    );
    host.tell({ kind: "ingest", key: "", shard: "" }, { type: "x" });
    expect(metrics.of("actor_dead_letters_total", { kind: "ingest", reason: "host_down" })).toBe(1);
  });
});

describe("passivation", () => {
  test("[ACT-7] ends what the incarnation started: timers, and asks it had parked", async () => {
    const { ask, tell, notes, time, stops } = rig();
    const parked = ask({ type: "park" }, 60_000);
    tell({ type: "later", delayMs: 10 });
    tell({ type: "stop" });
    expect(await parked).toBe("actor_stopped");
    await time.advance(100);
    expect(notes).toEqual([]);
    expect(stops).toEqual(["passivated"]);
    expect(time.pendingCount).toBe(0);
  });

  test("[ACT-7] a message that came meanwhile activates the actor anew", async () => {
    const { ask, tell } = rig();
    tell({ type: "stop" });
    expect(await ask({ type: "who" })).toBe("ok: 2");
  });
});

describe("drain", () => {
  test("[SUP-7] waits for what actors have begun, then stops them, then answers nobody", async () => {
    const { host, time } = soloHost();
    const order: string[] = [];
    const work = Promise.withResolvers<void>();
    host.addKinds({
      probe: kindOf<Asked<{ type: "hello" }, string>>(() => ({
        receive: (message) => message.reply.resolve("hello"),
        drain: async () => {
          order.push("drain");
          await work.promise;
          order.push("finished");
        },
        stop: (reason) => void order.push(reason),
      })),
    });
    const ask = (): Promise<string> => outcomeOf(host.ask(at("a"), { type: "hello" }, { deadlineMs: 100 }));
    expect(await ask()).toBe("ok: hello");
    const drained = host.drain(5000);
    expect(await ask()).toBe("ok: hello");
    work.resolve();
    await drained;
    expect(order).toEqual(["drain", "finished", "drained"]);
    expect(await ask()).toBe("actor_stopped");
    expect(time.pendingCount).toBe(0);
  });

  test("[SUP-7] what was taken in is worked off before the end, however much it is", async () => {
    const { tell, notes, host } = rig({ mailboxLimit: 100_000 });
    for (let n = 0; n < 50_000; n++) tell({ type: "note", n });
    await host.drain(5000);
    expect(notes).toHaveLength(50_000);
  });

  test("[SUP-7] an actor that does not finish is stopped at the limit", async () => {
    const { host, time } = soloHost();
    const stops: string[] = [];
    host.addKinds({
      probe: kindOf<Asked<{ type: "hello" }, string>>(() => ({
        receive: (message) => message.reply.resolve("hello"),
        drain: () => new Promise(() => {}),
        stop: (reason) => void stops.push(reason),
      })),
    });
    await host.ask(at("a"), { type: "hello" }, { deadlineMs: 100 });
    const drained = host.drain(5000);
    await time.advance(4999);
    expect(stops).toEqual([]);
    await time.advance(1);
    await drained;
    expect(stops).toEqual(["drained"]);
  });
});

test("[FWD-50] what is for those who are awake wakes nobody, but an ask always does", async () => {
  const { host } = soloHost();
  const heard: string[] = [];
  host.addKinds({
    probe: {
      ...kindOf<{ type: "hurry" } | Asked<{ type: "hello" }, string>>(() => ({
        receive: (message) => {
          heard.push(message.type);
          if (message.type === "hello") message.reply.resolve("hello");
        },
      })),
      isForAwake: () => true,
    },
  });
  host.tell(at("a"), { type: "hurry" });
  expect(await outcomeOf(host.ask(at("b"), { type: "hello" }, { deadlineMs: 100 }))).toBe("ok: hello");
  expect(heard).toEqual(["hello"]);
  host.tell(at("b"), { type: "hurry" });
  await outcomeOf(host.ask(at("b"), { type: "hello" }, { deadlineMs: 100 }));
  expect(heard).toEqual(["hello", "hurry", "hello"]);
});

test("[ACT-4] an actor may answer with any failure that has a code", async () => {
  const { host } = soloHost();
  host.addKinds({
    probe: kindOf<Asked<{ type: "fail" }, never>>(() => ({
      receive: (message) => message.reply.reject(new SyncError("unknown_pos", "no such pos")),
    })),
  });
  expect(await outcomeOf(host.ask(at("a"), { type: "fail" }, { deadlineMs: 100 }))).toBe("unknown_pos");
});
