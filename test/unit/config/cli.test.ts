import { describe, expect, test } from "bun:test";
import { runCli } from "#src/cli/cli.ts";
import { EXIT } from "#src/cli/command.ts";
import type { Command } from "#src/cli/command.ts";
import { COMMANDS } from "#src/cli/commands.ts";
import { demoCommand } from "#src/cli/demo.ts";
import { healthcheckCommand } from "#src/cli/healthcheck.ts";
import { resyncCommand } from "#src/cli/resync.ts";
import { serveCommand } from "#src/cli/serve.ts";
import { smokeTestCommand } from "#src/cli/smoke-test.ts";
import { ALL_VARIABLES } from "#src/config/variables.ts";
import type { ProbedHealth } from "#src/http/probe-health.ts";

interface Ran {
  code: number;
  out: string;
  err: string;
  calls: string[];
}

interface Outcomes {
  health: ProbedHealth;
  isResynced: boolean;
}

/** The commands that start something, with what they would start written down instead. */
function recorded(calls: string[], { health, isResynced }: Outcomes): Command[] {
  const call = async (text: string, code: number): Promise<number> => {
    calls.push(text);
    return code;
  };
  return [
    serveCommand((config) => call(`serve ${config.server}`, 7)),
    demoCommand((args) => call(`demo ${args.join(" ")}`, 8)),
    smokeTestCommand(() => call("smoke", 9)),
    healthcheckCommand(async () => health),
    resyncCommand(async (_config, { kind, target }) => {
      calls.push(`resync ${kind} ${target}`);
      return isResynced;
    }),
  ];
}

async function run(
  argv: string[],
  env: Record<string, string> = {},
  outcomes: Outcomes = { health: { ready: true, text: "well" }, isResynced: true },
): Promise<Ran> {
  const ran: Ran = { code: -1, out: "", err: "", calls: [] };
  const faked = recorded(ran.calls, outcomes);
  const commands = COMMANDS.map((command) => faked.find(({ name }) => name === command.name) ?? command);
  const terminal = {
    env,
    readFile: (path: string): string => {
      throw new Error(`no such file ${path}`);
    },
    cores: 2,
    out: (text: string) => void (ran.out += text),
    err: (text: string) => void (ran.err += text),
  };
  ran.code = await runCli(argv, terminal, commands);
  return ran;
}

const SERVER = { SYNCV3_SERVER: "https://hs.example.org" };

describe("runCli", () => {
  test("[CLI-1] serve is the default, and its exit code is passed on", async () => {
    expect(await run([], SERVER)).toMatchObject({ code: 7, calls: ["serve https://hs.example.org"] });
    expect(await run(["serve"], SERVER)).toMatchObject({ code: 7, calls: ["serve https://hs.example.org"] });
  });

  test("[CLI-2] demo and smoke test need no configuration", async () => {
    expect(await run(["demo", "--port=1"])).toMatchObject({ code: 8, calls: ["demo --port=1"] });
    expect(await run(["--smoke-test"])).toMatchObject({ code: 9, calls: ["smoke"] });
  });

  test("[CLI-3] --help names every command and every variable, as text for a terminal", async () => {
    const { code, out } = await run(["--help"]);
    expect(code).toBe(EXIT.ok);
    for (const { name } of ALL_VARIABLES) expect(out).toContain(name);
    for (const { usage } of COMMANDS) for (const form of usage) expect(out).toContain(`  ${form}`);
    for (const word of ["serve", "config check", "resync all", "--version", "--help"]) expect(out).toContain(word);
    // It is read in a terminal.
    expect(out).not.toMatch(/\]\(|`/u);
    expect(out).toContain("(docs/console.md)");
    expect(out.split("\n").filter((line) => line.length > 120)).toEqual([]);
  });

  test("[CLI-4] --version tells the version of package.json", async () => {
    const { out } = await run(["--version"]);
    expect(out).toMatch(/^glissade \d+\.\d+\.\d+/);
  });

  test("[CLI-5] a configuration that cannot be used stops serve and healthcheck with all problems", async () => {
    for (const argv of [["serve"], ["config", "check"]]) {
      const ran = await run(argv, { SYNCV3_BINDADDR: "x" });
      expect(ran).toMatchObject({ code: EXIT.unusable, calls: [] });
      expect(ran.err).toContain("SYNCV3_SERVER");
      expect(ran.err).toContain("SYNCV3_BINDADDR");
      expect(ran.err).toContain("glissade demo");
    }
    const checked = await run(["--healthcheck"], { SYNCV3_BINDADDR: "x", SYNCV3_TLS_CERT: "cert.pem" });
    expect(checked).toMatchObject({ code: EXIT.unusable, calls: [] });
    expect(checked.err).toContain("SYNCV3_BINDADDR");
    expect(checked.err).toContain("SYNCV3_TLS_");
  });

  test("[CLI-6] serve goes on in spite of warnings, which are shown", async () => {
    const ran = await run(["serve"], { ...SERVER, SYNCV3_SERVR: "x" });
    expect(ran.code).toBe(7);
    expect(ran.err).toContain("SYNCV3_SERVER may be meant");
  });

  test("[CLI-7] config check shows what holds, without secrets", async () => {
    const ran = await run(["config", "check"], {
      ...SERVER,
      SYNCV3_DB: "postgres://u:hunter2@h/d",
      SYNCV3_SECRET: "hunter3hunter3hunter3",
      SYNCV3_OTLP_URL: "http://otel",
      SYNCV3_OTLP_USERNAME: "u",
      SYNCV3_OTLP_PASSWORD: "hunter4",
    });
    expect(ran.code).toBe(EXIT.ok);
    expect(ran.out).toContain("https://hs.example.org");
    expect(ran.out).not.toContain("hunter");
  });

  test("[CLI-8] healthcheck tells the health by its exit code, of a demonstration without a homeserver too", async () => {
    expect(await run(["--healthcheck"], {})).toMatchObject({ code: EXIT.ok, out: "well\n", err: "" });
    expect(await run(["--healthcheck"], SERVER)).toMatchObject({ code: EXIT.ok, out: "well\n" });
    const sick = await run(["--healthcheck"], SERVER, { health: { ready: false, text: "sick" }, isResynced: true });
    expect(sick).toMatchObject({ code: EXIT.failed, err: "sick\n" });
  });

  test("[RTE-4] routes are printed with and without a configuration, and as a proxy's own", async () => {
    const table = await run(["routes"]);
    expect(table).toMatchObject({ code: EXIT.ok, err: "" });
    expect(table.out).toContain("/_matrix/client/versions");
    const nginx = await run(["routes", "--nginx"], { ...SERVER, SYNCV3_BINDADDR: "127.0.0.1:9001" });
    expect(nginx.out).toContain("proxy_pass http://127.0.0.1:9001;");
    expect((await run(["routes"], { ...SERVER, SYNCV3_FORWARD: "1" })).out).toContain("SYNCV3_FORWARD is on");
    for (const wrong of [
      ["routes", "--lighttpd"],
      ["routes", "--nginx", "more"],
    ]) {
      expect(await run(wrong)).toMatchObject({ code: EXIT.unusable, out: "" });
    }
  });

  test("[CLI-9] an unknown word is refused with the nearest known one; the first word of several commands, with those", async () => {
    const ran = await run(["serv"], SERVER);
    expect(ran).toMatchObject({ code: EXIT.unusable, calls: [] });
    expect(ran.err).toContain("serve may be meant");
    expect((await run(["serve", "extra"], SERVER)).code).toBe(EXIT.unusable);
    expect((await run(["config"], SERVER)).code).toBe(EXIT.unusable);
    expect((await run(["config", "chek"], SERVER)).err).toContain("config check may be meant");
    for (const words of [["db"], ["db", "swallow"]]) {
      const { code, err } = await run(words, SERVER);
      expect(code).toBe(EXIT.unusable);
      for (const { usage } of COMMANDS.filter(({ name }) => name.startsWith("db ")))
        for (const form of usage) expect(err).toContain(`glissade ${form}\n`);
    }
  });

  test("[CLI-10] resync passes on what is to be compared, and fails when a room could not be", async () => {
    expect(await run(["resync", "room", "!r:hs"], SERVER)).toMatchObject({
      code: EXIT.ok,
      calls: ["resync room !r:hs"],
    });
    const partly = { health: { ready: true, text: "well" }, isResynced: false };
    expect((await run(["resync", "all"], SERVER, partly)).code).toBe(EXIT.failed);
    const wrong = await run(["resync", "rooms"], SERVER);
    expect(wrong).toMatchObject({ code: EXIT.unusable, calls: [] });
    expect(wrong.err).toContain("room <room id>");
  });
});
