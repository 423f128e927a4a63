import { describe, expect, test } from "bun:test";
import { tmpdir } from "node:os";
import { readConfig } from "#src/config.ts";
import type { RepairProgress, RepairTarget } from "#src/ports/repair.ts";
import { resync } from "#src/hosts/resync-host.ts";
import { readTarget, runResync } from "#src/resync.ts";
import { VirtualTime, settlePromises } from "#test/support/virtual-time.ts";

interface Ran {
  out: string;
  err: string;
  asked: RepairTarget[];
  isDone: boolean | null;
}

/** Runs the command for so many seconds; the server's answers come one at each look, the last one again and again. */
async function run(answers: (RepairProgress | null)[], seconds: number): Promise<Ran> {
  const ran: Ran = { out: "", err: "", asked: [], isDone: null };
  const time = new VirtualTime();
  let looks = 0;
  void runResync(
    { kind: "all", target: "" },
    {
      store: {
        ask: async (target) => ran.asked.push(target),
        progress: async () => answers[Math.min(looks++, answers.length - 1)] ?? null,
      },
      clock: time,
      timers: time,
      out: (text) => void (ran.out += text),
      err: (text) => void (ran.err += text),
    },
  ).then((isDone) => (ran.isDone = isDone));
  await time.advance(seconds * 1000);
  await settlePromises();
  return ran;
}

const at = (total: number, done: number, failed = 0, isEnded = false): RepairProgress => ({
  total,
  done,
  failed,
  isEnded,
});

describe("resync", () => {
  test("[CLI-20] tells how far it is, each step once, and ends well when every room was compared", async () => {
    const ran = await run([at(0, 0), at(3, 0), at(3, 2), at(3, 2), at(3, 3, 0, true)], 10);
    expect(ran.out.split("\n")).toEqual([
      "waiting for the server",
      "0 of 3 rooms compared with the homeserver",
      "2 of 3 rooms compared with the homeserver",
      "3 of 3 rooms compared with the homeserver: done",
      "",
    ]);
    expect(ran).toMatchObject({ isDone: true, asked: [{ kind: "all", target: "" }] });
  });

  test("[CLI-21] rooms that could not be read are told, and make it fail", async () => {
    const ran = await run([at(1, 1, 1, true)], 1);
    expect(ran.out).toContain("1 of 1 room compared with the homeserver, 1 could not be read");
    expect(ran.isDone).toBe(false);
  });

  test("[CLI-22] does not wait for ever for a server that does not run", async () => {
    expect((await run([at(0, 0)], 59)).isDone).toBeNull();
    const ran = await run([at(0, 0)], 70);
    expect(ran.isDone).toBe(false);
    expect(ran.err).toContain("is Glissade running");
    expect((await run([null], 1)).isDone).toBe(false);
  });

  test("[CLI-23] takes a room, a user or all, and nothing else", async () => {
    expect(readTarget(["room", "!r:hs"])).toEqual({ kind: "room", target: "!r:hs" });
    expect(readTarget(["user", "@u:hs"])).toEqual({ kind: "user", target: "@u:hs" });
    expect(readTarget(["all"])).toEqual({ kind: "all", target: "" });
    for (const args of [[], ["room"], ["room", "r"], ["user", "!r:hs"], ["all", "x"], ["room", "!r:hs", "x"], ["x"]]) {
      expect(readTarget(args)).toBeNull();
    }
  });
});

test("[CLI-24] where no server has been yet, the command says so", async () => {
  const env = { SYNCV3_SERVER: "https://hs.example.org", SYNCV3_DATA: `${tmpdir()}/glissade-nothing-here` };
  const read = readConfig(env, () => "", 2);
  if (!("config" in read)) throw new Error("unusable");
  let told = "";
  const say = (text: string): void => void (told += text);
  expect(await resync(read.config, { kind: "all", target: "" }, { out: say, err: say })).toBe(false);
  expect(told).toBe(
    `there is no embedded database in ${tmpdir()}/glissade-nothing-here (SYNCV3_DATA): start the server on it first\n`,
  );
});
