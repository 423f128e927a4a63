import { describe, expect, test } from "bun:test";
import { doctorCommand } from "#src/cli/doctor.ts";
import { adviceFor } from "#src/doctor/advice.ts";
import { finding } from "#src/doctor/finding.ts";
import type { Examination } from "#src/doctor/examine.ts";
import { PROXY_KINDS } from "#src/doctor/proxy-kind.ts";
import { reportJson, reportText } from "#src/doctor/report.ts";
import type { DoctorOptions } from "#src/hosts/doctor-host.ts";

const EXAMINATION: Examination = {
  address: "https://m.example.org",
  proxy: "nginx",
  findings: [
    finding("tls", "ok", "fine"),
    finding("cors", "fail", "twice", "remove one"),
    finding("streaming", "warn", "held back", "do not"),
    finding("long-polls", "skip", "left out"),
  ],
};

describe("the report", () => {
  test("[DCT-60] one line for each finding, advice below it, and a sum", () => {
    expect(reportText(EXAMINATION, false)).toBe(`https://m.example.org, behind nginx

  ok    tls           fine
  FAIL  cors          twice
                      → remove one
  warn  streaming     held back
                      → do not
  -     long-polls    left out

1 ok, 1 to improve, 1 to mend, 1 not looked at
`);
    expect(reportText(EXAMINATION, true)).toContain("\u001B[31mFAIL\u001B[0m");
  });

  test("[DCT-61] as JSON it has the same", () => {
    expect(JSON.parse(reportJson(EXAMINATION))).toEqual({
      ...EXAMINATION,
      counts: { ok: 1, warn: 1, fail: 1, skip: 1 },
    });
  });

  test("[DCT-67] what a server says cannot move the cursor, or fill the screen", () => {
    const told = finding("homeserver", "ok", `Evil\u001B[2J\r\n\u202Eserver ${"x".repeat(5000)}`, "do\u0007");
    expect(told.text).toStartWith("Evil\u{FFFD}[2J\u{FFFD}\u{FFFD}\u{FFFD}server xxx");
    expect(told.text.length).toBeLessThanOrEqual(1000);
    expect(told.advice).toEqual(["do\u{FFFD}"]);
  });

  test("[DCT-62] advice names the proxy whose words it uses", () => {
    for (const proxy of PROXY_KINDS) expect(adviceFor("long-polls", proxy)).toStartWith(`${proxy}: `);
    expect(adviceFor("long-polls", null)).not.toContain(":: ");
    expect(adviceFor("addresses", "caddy")).toBe(adviceFor("addresses", null));
  });
});

describe("glissade doctor", () => {
  const run = async (args: readonly string[], env: Record<string, string> = {}, examination = EXAMINATION) => {
    const [out, err]: [string[], string[]] = [[], []];
    let seen: DoctorOptions | null = null;
    const command = doctorCommand(async (options) => {
      seen = options;
      return examination;
    });
    const files: Record<string, string> = { "/token": "syt_secret\n", "/ca": "CERT", "/prose": "not a token" };
    const code = await command.run(args, {
      env,
      readFile: (path) => {
        if (files[path] === undefined) throw new Error("ENOENT");
        return files[path];
      },
      cores: 2,
      out: (text) => out.push(text),
      err: (text) => err.push(text),
    });
    return { code, out: out.join(""), err: err.join(""), options: seen as DoctorOptions | null };
  };

  test("[DCT-63] ends with 1 when something has to be mended, with 0 when it need not", async () => {
    expect((await run(["https://m.example.org"])).code).toBe(1);
    const fine = { ...EXAMINATION, findings: [finding("streaming", "warn", "held back")] };
    expect((await run(["https://m.example.org"], {}, fine)).code).toBe(0);
  });

  test("[DCT-64] takes an address, a name, or what the environment says", async () => {
    expect((await run(["https://m.example.org/matrix/"])).options?.target).toEqual({
      kind: "address",
      base: { origin: { scheme: "https", host: "m.example.org", port: 443 }, prefix: "/matrix" },
    });
    expect((await run(["example.org:8448"])).options?.target).toEqual({
      kind: "name",
      origin: { scheme: "https", host: "example.org", port: 8448 },
    });
    const { options } = await run([], { SYNCV3_SERVER: "http://127.0.0.1:8008" });
    expect(options).toMatchObject({ target: null, config: { server: "http://127.0.0.1:8008" } });
    expect((await run(["example.org"])).options?.config).toBeNull();
  });

  test("[DCT-65] reads its options, and the token from a file alone", async () => {
    const args = [
      "example.org",
      "--token-file",
      "/token",
      "--ca-file=/ca",
      "--resolve",
      "M.test=127.0.0.1",
      "--proxy",
      "haproxy",
      "--quick",
      "--json",
    ];
    const { options, out } = await run(args);
    expect(options).toMatchObject({ token: "syt_secret", extraCa: "CERT", proxy: "haproxy", isQuick: true });
    expect(options?.addresses).toEqual(new Map([["m.test", "127.0.0.1"]]));
    expect(() => JSON.parse(out) as unknown).not.toThrow();
    expect(out).not.toContain("syt_");
  });

  test("[DCT-66] refuses what it cannot use, and says why", async () => {
    for (const [args, words] of [
      [[], "needs an address"],
      [["a", "b"], "is used so"],
      [["--loud"], "is used so"],
      [["what is this?"], "neither a URL"],
      [["ftp://example.org"], "neither a URL"],
      [["example.org", "--proxy", "squid"], "--proxy takes one of"],
      [["example.org", "--resolve", "x"], "name=address"],
      [["example.org", "--token-file", "/nowhere"], "/nowhere cannot be read"],
      [["example.org", "--token-file", "/prose"], "no access token"],
    ] as const) {
      const { code, err, options } = await run(args);
      expect([args, code, err.includes(words), options]).toEqual([args, 2, true, null]);
    }
    expect((await run([], { SYNCV3_SERVER: "nonsense" })).err).toContain("SYNCV3_SERVER");
  });
});
