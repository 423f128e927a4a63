import { afterAll, describe, expect, test } from "bun:test";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ManagedService, managedServiceProblem } from "#test/support/managed-service.ts";
import { freePort } from "#test/support/ports.ts";

const problem = managedServiceProblem();
const folder = mkdtempSync(join(tmpdir(), "glissade-systemd-"));
afterAll(() => rmSync(folder, { recursive: true }), 60_000);

describe.skipIf(problem !== "")(`under a service manager${problem}`, () => {
  test("[SYSD-20] it tells when it is ready, that it is alive, and that it ends", async () => {
    const port = await freePort();
    const service = new ManagedService(join(folder, "told"), 0, { SYNCV3_BINDADDR: `127.0.0.1:${port}` });
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
      const service = new ManagedService(join(folder, `socket-${forward}`), port, {
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
