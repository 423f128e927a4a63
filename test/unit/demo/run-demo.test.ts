import { describe, expect, test } from "bun:test";
import { existsSync } from "node:fs";
import type { Config } from "#src/config.ts";
import { parseDemoOptions } from "#src/demo/demo-options.ts";
import { type DemoDeps, runDemo } from "#src/demo/run-demo.ts";
import { systemClock, systemTimers } from "#src/system.ts";

interface Ran {
  code: number;
  out: string;
  err: string;
  config: Config | null;
}

/** Runs the demonstration with a Glissade that does `whileServing` and then ends. */
async function demo(
  args: readonly string[],
  whileServing: (config: Config, out: () => string) => Promise<number> = async () => 0,
  env: Record<string, string> = {},
): Promise<Ran> {
  const ran: Ran = { code: -1, out: "", err: "", config: null };
  const deps: DemoDeps = {
    clock: systemClock,
    timers: systemTimers,
    env,
    out: (text) => void (ran.out += text),
    err: (text) => void (ran.err += text),
    isTerminal: false,
    columns: () => 80,
    onStop: () => () => {},
    isReady: async () => true,
    serve: (config) => {
      ran.config = config;
      return whileServing(config, () => ran.out);
    },
  };
  ran.code = await runDemo(args, deps);
  return ran;
}

describe("parseDemoOptions", () => {
  test("[DEMO-110] reads both spellings, and says what is wrong", () => {
    expect(parseDemoOptions(["--rooms=12", "--speed", "0.5", "--no-view"])).toEqual({
      rooms: 12,
      speed: 0.5,
      seed: 1,
      homeserverPort: 0,
      hasView: false,
    });
    expect(parseDemoOptions(["--rooms", "1.5"])).toBe("--rooms needs a whole number from 1 to 2000");
    expect(parseDemoOptions(["--speed"])).toBe("--speed needs a number from 0.1 to 100");
    expect(parseDemoOptions(["--quick"])).toBe("demo does not know --quick");
  });
});

describe("runDemo", () => {
  test("[DEMO-111] serves the newcomer of a living homeserver, says how to look, and leaves nothing behind", async () => {
    let rooms: unknown[] = [];
    const ran = await demo(["--no-view", "--rooms", "5"], async (config, out) => {
      expect(existsSync(config.storage.dataDir)).toBe(true);
      while (!out().includes("access token")) await new Promise((resolve) => setImmediate(resolve));
      const token = /access token +(\S+)/u.exec(out())?.[1] ?? "";
      const response = await fetch(`${config.homeserver.url}/_matrix/client/v3/joined_rooms`, {
        headers: { authorization: `Bearer ${token}` },
      });
      rooms = ((await response.json()) as { joined_rooms: unknown[] }).joined_rooms;
      return 0;
    });
    expect(ran).toMatchObject({ code: 0, err: "" });
    expect(rooms).toHaveLength(5);
    const { config } = ran;
    if (config?.bind.kind !== "tcp") throw new Error("listens nowhere");
    expect(config.bind.host).toBe("127.0.0.1");
    expect(ran.out).toContain(
      `curl -s 'http://127.0.0.1:${config.bind.port}/_matrix/client/unstable/org.matrix.msc3575/sync`,
    );
    expect(existsSync(config.storage.dataDir)).toBe(false);
    expect(await fetch(config.homeserver.url).then(String, () => "refused")).toBe("refused");
  });

  test("[DEMO-112] nobody's database is touched, but where to listen is theirs to say", async () => {
    const env = { SYNCV3_DB: "postgres://precious", SYNCV3_SECRET: "kept", SYNCV3_BINDADDR: "127.0.0.1:4711" };
    const { config } = await demo(["--no-view", "--rooms", "2"], async () => 0, env);
    expect(config?.storage).toMatchObject({ database: null, secret: null });
    expect(config?.bind).toEqual({ kind: "tcp", host: "127.0.0.1", port: 4711 });
  });

  test("[DEMO-113] the exit code is that of Glissade; bad arguments never start it", async () => {
    expect((await demo(["--no-view", "--rooms", "2"], async () => 7)).code).toBe(7);
    const refused = await demo(["--what"]);
    expect(refused).toMatchObject({ code: 2, config: null });
    expect(refused.err).toContain("Usage: glissade demo");
    expect((await demo(["--help"])).out).toContain("--speed");
  });
});
