import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Session } from "#src/demo/homeserver/accounts.ts";
import { DEBIAN_PACKAGES, debianPackages } from "#test/support/debian.ts";
import { DebianMachine, machineProblem } from "#test/support/debian-machine.ts";
import { createTestHomeserver } from "#test/support/homeserver.ts";
import type { TestHomeserver } from "#test/support/homeserver.ts";
import { freePort } from "#test/support/ports.ts";
import { SIMPLIFIED_PATH } from "#test/support/simplified-connection.ts";
import type { WireAnswer } from "#test/support/simplified-connection.ts";
import { buildDeb } from "../../tools/deb.ts";

const EXECUTABLE = process.env["GLISSADE_EXECUTABLE"] ?? join(import.meta.dir, "../../dist/glissade");
const problem = (await machineProblem()) ?? (await debianPackages(DEBIAN_PACKAGES.machines));
const folder = mkdtempSync(join(tmpdir(), "glissade-packages-"));
const LIMIT_MS = 400_000;
const [ENV, DROP_IN] = ["/etc/glissade/glissade.env", "/etc/systemd/system/glissade.service.d"];

afterAll(() => rmSync(folder, { recursive: true, force: true }), 60_000);

function makePackage(version: string): string {
  const [workshop, outfile] = [join(folder, "layout"), join(folder, `${version}.deb`)];
  const architecture = process.arch === "x64" ? "amd64" : "arm64";
  buildDeb({
    executable: EXECUTABLE,
    architecture,
    version,
    epoch: 1_767_225_600,
    licences: "",
    compression: "none",
    workshop,
    outfile,
  });
  return outfile;
}

describe.skipIf(problem !== null)(
  `the package on a clean Debian with systemd${problem === null ? "" : ` (${problem})`}`,
  () => {
    let machine: DebianMachine;
    let homeserver: TestHomeserver;
    let alice: Session;
    let roomId: string;
    let port: number;
    let pos: string;
    let firstPid: string;
    const shell = (script: string): Promise<string> => machine.must("sh", "-c", script);
    const property = (name: string): Promise<string> => machine.must("systemctl", "show", "-P", name, "glissade");

    const install = (path: string): Promise<string> => {
      copyFileSync(path, join(machine.root, "opt/glissade.deb"));
      return machine.must("dpkg", "--install", "/opt/glissade.deb");
    };

    const sync = async (from?: string): Promise<WireAnswer> => {
      const query = from === undefined ? "" : `?pos=${from}`;
      const lists = { all: { ranges: [[0, 9]], timeline_limit: 5, required_state: [] } };
      const answer = await fetch(`http://127.0.0.1:${port}${SIMPLIFIED_PATH}${query}`, {
        method: "POST",
        headers: { authorization: `Bearer ${alice.accessToken}` },
        body: JSON.stringify({ lists, room_subscriptions: {}, extensions: {} }),
      });
      if (!answer.ok) throw new Error(`${answer.status} ${await answer.text()}`);
      return (await answer.json()) as WireAnswer;
    };

    const until = async (what: string, check: () => Promise<boolean>): Promise<void> => {
      const deadline = performance.now() + 90_000;
      while (performance.now() < deadline) {
        if (await check().catch(() => false)) return;
        await Bun.sleep(100);
      }
      throw new Error(
        `${what} did not come; the journal: ${(await machine.run("journalctl", "-n20", "-p5", "--no-pager")).text}`,
      );
    };

    beforeAll(async () => {
      [machine, port] = await Promise.all([DebianMachine.boot(), freePort()]);
      homeserver = createTestHomeserver({ serverName: "hs.test" });
      alice = homeserver.user("alice");
      roomId = homeserver.createRoom(alice, { name: "Lounge" });
    }, LIMIT_MS);

    afterAll(async () => {
      await machine?.halt();
      await homeserver?.stop();
    }, LIMIT_MS);

    test(
      "[PKG-10] installs without being configured, says what is missing, and comes up with the machine from then on",
      async () => {
        expect(await install(makePackage("0.1.0"))).toContain("set SYNCV3_SERVER in /etc/glissade/glissade.env");
        expect(await machine.must("glissade", "--version")).toContain("glissade ");
        expect(await shell(`stat -c '%A %U:%G' ${ENV}; getent passwd glissade | cut -d: -f6,7`)).toBe(
          "-rw-r----- root:glissade\n/var/lib/glissade:/usr/sbin/nologin",
        );
        expect(await machine.must("systemctl", "is-enabled", "glissade")).toBe("enabled");
        expect((await machine.run("systemctl", "is-active", "glissade")).text).toBe("inactive");
      },
      LIMIT_MS,
    );

    test("[PKG-11] systemd finds nothing wrong with the units, and little that the service could do to the machine", async () => {
      expect(await machine.must("systemd-analyze", "verify", "--man=no", "glissade.service", "glissade.socket")).toBe(
        "",
      );
      const judged = await machine.must("systemd-analyze", "security", "--no-pager", "glissade.service");
      const exposure = Number(/Overall exposure level for glissade\.service: ([\d.]+)/.exec(judged)?.[1]);
      expect(exposure).toBeLessThan(2);
    });

    test("[PKG-12] the configuration can be checked as the service will see it", async () => {
      const check = [
        "systemd-run",
        "-q",
        "--pipe",
        "--wait",
        "-p",
        `EnvironmentFile=${ENV}`,
        "glissade",
        "config",
        "check",
      ];
      expect(await machine.run(...check)).toMatchObject({ code: 2, text: expect.stringContaining("SYNCV3_SERVER") });
      await shell(
        `echo "SYNCV3_SERVER=${homeserver.url}" >>${ENV}; sed -i 's/^SYNCV3_BINDADDR=.*/SYNCV3_BINDADDR=127.0.0.1:${port}/' ${ENV}`,
      );
      expect((await machine.run(...check)).code).toBe(0);
    });

    test(
      "[PKG-13] systemd knows when it is ready, and clients are served",
      async () => {
        await machine.must("systemctl", "start", "glissade");
        expect(await property("StatusText")).toBe(`serving clients on http://127.0.0.1:${port}`);
        firstPid = await property("MainPID");
        const first = await sync();
        pos = first.pos;
        expect(first.rooms[roomId]?.name).toBe("Lounge");
      },
      LIMIT_MS,
    );

    test("[PKG-14] it runs confined, and nothing it does is refused", async () => {
      const status = readFileSync(join(`/proc/${hostPid(machine, firstPid)}/status`), "utf8");
      expect(status).toMatch(/^NoNewPrivs:\t1$/m);
      expect(status).toMatch(/^Seccomp:\t2$/m);
      expect(status).toMatch(/^CapEff:\t0{16}$/m);
      expect(
        await machine.must("ps", "-o", "user=", "-p", firstPid).catch(() => shell(`stat -c %U /proc/${firstPid}`)),
      ).toBe("glissade");
      expect(await shell("stat -c '%a %U' /var/lib/glissade; ls -A /var/lib/glissade | grep -c .")).toMatch(
        /^700 glissade\n[1-9]/,
      );
      const journal = await machine.must("journalctl", "-u", "glissade", "-o", "cat", "--no-pager");
      expect(journal).not.toMatch(/EPERM|EACCES|not permitted|denied|"level":"(?:warn|error)"/);
    });

    test(
      "[PKG-23] other commands run beside the service, with its environment and as its user",
      async () => {
        const page = readFileSync(join(import.meta.dir, "../../docs/systemd.md"), "utf8");
        const [, command = ""] = /^sudo (systemd-run [^`]*? glissade db stats)$/ms.exec(page) ?? [];
        expect(await shell(command.replaceAll("\\\n", " "))).toContain("events");
      },
      LIMIT_MS,
    );

    test(
      "[PKG-15] a server that hangs is started anew by the watchdog, and clients go on",
      async () => {
        await shell(
          `mkdir -p ${DROP_IN}; printf '[Service]\\nWatchdogSec=4\\n' >${DROP_IN}/watchdog.conf; systemctl daemon-reload; systemctl restart glissade`,
        );
        await machine.must("sleep", "6");
        expect(await property("NRestarts")).toBe("0");
        await shell("kill -STOP $(systemctl show -P MainPID glissade)");
        await until(
          "the new start",
          async () => (await property("NRestarts")) === "1" && (await property("SubState")) === "running",
        );
        homeserver.send(alice, roomId, "still here");
        await until("the message", async () => {
          const next = await sync(pos);
          pos = next.pos;
          return JSON.stringify(next.rooms).includes("still here");
        });
        await shell(`rm -r ${DROP_IN}; systemctl daemon-reload`);
      },
      LIMIT_MS,
    );

    test(
      "[PKG-24] a start that only an operator can help is not tried again, and works once it is put right",
      async () => {
        const secret = "Environment=SYNCV3_SECRET=another-than-that-of-the-database";
        await shell(
          `mkdir -p ${DROP_IN}; printf '[Service]\\n${secret}\\n' >${DROP_IN}/secret.conf; systemctl daemon-reload`,
        );
        expect((await machine.run("systemctl", "restart", "glissade")).code).not.toBe(0);
        expect([await property("ExecMainStatus"), await property("SubState")]).toEqual(["2", "failed"]);
        const journal = await machine.must("journalctl", "-u", "glissade", "-o", "cat", "--no-pager");
        expect(journal).toContain("SYNCV3_SECRET does not match this database");
        await shell(`rm -r ${DROP_IN}; systemctl daemon-reload; systemctl restart glissade`);
        pos = (await sync(pos)).pos;
      },
      LIMIT_MS,
    );

    test(
      "[PKG-16] by its socket it is started by the first client, and nobody meets a closed port while it starts anew",
      async () => {
        await shell(`systemctl stop glissade; mkdir -p /etc/systemd/system/glissade.socket.d
printf '[Socket]\\nListenStream=\\nListenStream=127.0.0.1:${port}\\n' >/etc/systemd/system/glissade.socket.d/port.conf
systemctl daemon-reload; systemctl enable --now glissade.socket`);
        expect((await machine.run("systemctl", "is-active", "glissade")).text).toBe("inactive");
        expect((await fetch(`http://127.0.0.1:${port}/health/live`)).status).toBe(200);
        const restarted = machine.must("systemctl", "restart", "glissade");
        const statuses: number[] = [];
        const state = { isOver: false };
        void restarted.finally(() => (state.isOver = true));
        while (!state.isOver) {
          const answer = await fetch(`http://127.0.0.1:${port}/health/live`, { headers: { connection: "close" } });
          statuses.push(answer.status);
        }
        await restarted;
        expect(new Set(statuses).difference(new Set([200, 503]))).toEqual(new Set());
        pos = (await sync(pos)).pos;
        await shell("systemctl disable --now glissade.socket; systemctl restart glissade");
      },
      LIMIT_MS,
    );

    test("[PKG-17] secrets come as credentials, which nobody else can read", async () => {
      await shell(
        "printf 'a secret of the machine' >/etc/glissade/secret; printf 'host=/nowhere' >/etc/glissade/database; chmod 0600 /etc/glissade/secret /etc/glissade/database",
      );
      const example = await shell("cat /usr/share/doc/glissade/examples/credentials.conf");
      const unit = `${example}\nType=oneshot\nUser=glissade\nEnvironment=SYNCV3_SERVER=http://127.0.0.1:9\nExecStart=glissade config check\n`;
      writeFileSync(join(machine.root, "etc/systemd/system/check.service"), unit);
      await shell("systemctl daemon-reload; systemctl start check; rm /etc/systemd/system/check.service");
      const checked = await machine.must("journalctl", "-u", "check", "-o", "cat", "--no-pager");
      expect(checked).toMatch(/"database": "\(set\)",\s*"secret": "\(set\)"/);
      expect(checked).not.toContain("a secret of the machine");
    });

    test(
      "[PKG-22] the example for low ports lets it listen there, which it may not otherwise",
      async () => {
        const low = freeLowPort();
        const example = "/usr/share/doc/glissade/examples/low-port.conf";
        const settings = `sed -i 's/^SYNCV3_BINDADDR=.*/SYNCV3_BINDADDR=127.0.0.1:'`;
        expect((await machine.run("sh", "-c", `${settings}${low}/ ${ENV}; systemctl restart glissade`)).code).not.toBe(
          0,
        );
        await shell(
          `install -D ${example} ${DROP_IN}/low-port.conf; systemctl daemon-reload; systemctl restart glissade`,
        );
        expect((await fetch(`http://127.0.0.1:${low}/health/live`)).status).toBe(200);
        await shell(
          `rm -r ${DROP_IN}; systemctl daemon-reload; ${settings}${port}/ ${ENV}; systemctl restart glissade`,
        );
      },
      LIMIT_MS,
    );

    test(
      "[PKG-18] an upgrade keeps configuration and data, and clients go on where they were",
      async () => {
        const [before, settings] = [await property("MainPID"), await shell(`cat ${ENV}`)];
        await install(makePackage("99.0.0"));
        expect(await shell("dpkg-query -W -f '${Version}' glissade")).toBe("99.0.0");
        expect(await shell(`cat ${ENV}`)).toBe(settings);
        expect(await property("MainPID")).not.toBe(before);
        homeserver.send(alice, roomId, "after the upgrade");
        await until("the message", async () => {
          const next = await sync(pos);
          pos = next.pos;
          return JSON.stringify(next.rooms).includes("after the upgrade");
        });
      },
      LIMIT_MS,
    );

    test(
      "[PKG-19] removing it ends it and keeps configuration and data, installed again it goes on, purging it leaves nothing",
      async () => {
        await machine.must("dpkg", "--remove", "glissade");
        expect((await machine.run("systemctl", "is-active", "glissade")).text).not.toBe("active");
        expect(await fetch(`http://127.0.0.1:${port}/health/live`).catch(() => "refused")).toBe("refused");
        expect(await shell(`ls ${ENV} /var/lib/glissade >/dev/null && ls /usr/bin/glissade 2>&1 || true`)).toContain(
          "No such file",
        );
        // As it was before, with the same `since` for everybody.
        await install(join(folder, "99.0.0.deb"));
        await until("the service", async () => (await property("StatusText")).startsWith("serving clients"));
        await sync(pos);
        await machine.must("dpkg", "--purge", "glissade");
        const left = await shell(
          "find / -xdev -iname '*glissade*' -not -path '/opt/*' -not -path '/proc/*' -not -path '/var/log/*' -not -path '/etc/hostname' -not -path '/etc/systemd/system/glissade.socket.d'",
        );
        expect(left).toBe("");
      },
      LIMIT_MS,
    );
  },
);

/** One that only root can listen on. */
function freeLowPort(): number {
  for (let low = 1023; low > 600; low -= 1) {
    try {
      Bun.listen({ hostname: "127.0.0.1", port: low, exclusive: true, socket: { data: () => undefined } }).stop(true);
      return low;
    } catch {
      // Taken; the next one may not be.
    }
  }
  throw new Error("no low port is free");
}

/** Its number outside the machine. */
function hostPid(machine: DebianMachine, pid: string): string {
  const { stdout } = Bun.spawnSync([
    "sh",
    "-c",
    `grep -l "^NSpid:.*\\b${pid}$" /proc/[0-9]*/status 2>/dev/null | xargs grep -l '^Name:.glissade' | cut -d/ -f3`,
  ]);
  const [found = ""] = stdout.toString().trim().split("\n");
  if (found === "") throw new Error(`no process ${pid} of ${machine.root}`);
  return found;
}
