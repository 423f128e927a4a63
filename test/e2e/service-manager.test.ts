import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { freePort } from "#test/support/ports.ts";
import { until } from "#test/support/until.ts";

const EXECUTABLE = process.env["GLISSADE_EXECUTABLE"] ?? join(import.meta.dir, "../../dist/glissade");
const HARNESS = join(import.meta.dir, "../support/service-manager.py");
const problem = Bun.which("python3") === null ? " (python3 is not installed)" : "";
const folder = mkdtempSync(join(tmpdir(), "glissade-systemd-"));
afterAll(() => rmSync(folder, { recursive: true }), 60_000);

/** A server that was started as systemd starts it, and what it told since. */
class Service {
  readonly #child: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #listened: Promise<void>;
  #told = "";

  constructor(name: string, port: number, env: Record<string, string>) {
    const data = join(folder, name);
    this.#child = Bun.spawn(["python3", HARNESS, `${data}.notify`, String(port), EXECUTABLE, "serve"], {
      env: { PATH: process.env["PATH"] ?? "", SYNCV3_SERVER: "http://127.0.0.1:9", SYNCV3_DATA: data, ...env },
      stdin: "ignore",
      stdout: "pipe",
      stderr: "pipe",
    });
    this.#listened = this.#listen();
  }

  async #listen(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const chunk of this.#child.stdout) this.#told += decoder.decode(chunk);
  }

  get told(): string[] {
    return this.#told.split("\n").filter((line) => /^[A-Z_]+=/.test(line));
  }

  async until(line: string): Promise<void> {
    const isTold = (): boolean => this.told.some((told) => told.startsWith(line));
    await until(line, () => isTold() || this.#child.exitCode !== null, { limitMs: 60_000 });
    if (isTold()) return;
    throw new Error(`${line} was not told:\n${this.#told}\n${await new Response(this.#child.stderr).text()}`);
  }

  async end(): Promise<string[]> {
    this.#child.kill("SIGTERM");
    await this.#child.exited;
    await this.#listened;
    return this.told;
  }
}

describe.skipIf(problem !== "")(`under a service manager${problem}`, () => {
  test("[SYSD-20] it tells when it is ready, that it is alive, and that it ends", async () => {
    const port = await freePort();
    const service = new Service("told", 0, { SYNCV3_BINDADDR: `127.0.0.1:${port}` });
    await service.until("READY=1");
    expect((await fetch(`http://127.0.0.1:${port}/health/live`)).status).toBe(200);
    expect(service.told.slice(1, 3)).toEqual(["STATUS=starting", "EXTEND_TIMEOUT_USEC=20000000"]);
    expect(service.told).toContain(`STATUS=serving clients on http://127.0.0.1:${port}`);
    await service.until("WATCHDOG=1");
    expect((await service.end()).slice(-3)).toEqual([
      "STOPPING=1",
      "STATUS=ending: requests under way are answered",
      "EXIT=0",
    ]);
  }, 120_000);

  for (const forward of ["0", "1"]) {
    test(`[SYSD-21] clients come in by a socket that was opened before it was, SYNCV3_FORWARD=${forward}`, async () => {
      const port = await freePort();
      // Elsewhere: what is on this port is the service manager's socket.
      const service = new Service(`socket-${forward}`, port, {
        SYNCV3_FORWARD: forward,
        SYNCV3_BINDADDR: "127.0.0.1:1",
      });
      await service.until("PID=");
      // Before it is ready: the request waits at the socket, and is answered.
      const base = `http://127.0.0.1:${port}`;
      const first = await fetch(`${base}/health/live`);
      expect(first.status).toBe(200);
      await service.until("READY=1");
      expect(service.told).toContain(`STATUS=serving clients on ${base}`);
      const ready = await fetch(`${base}/health/ready`);
      expect(ready.status).toBe(200);
      const request = { method: "POST", body: "{}", headers: { authorization: "Bearer x" } };
      const sync = await fetch(`${base}/_matrix/client/unstable/org.matrix.simplified_msc3575/sync`, request);
      expect(sync.status).toBe(502);
      const others = await fetch(`${base}/_matrix/client/v3/account/whoami`);
      expect(others.status).toBe(forward === "1" ? 502 : 404);
      expect((await service.end()).at(-1)).toBe("EXIT=0");
    }, 120_000);
  }
});
