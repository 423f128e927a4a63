import { existsSync, mkdirSync, mkdtempSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

const TOOLS = join(import.meta.dir, "../../.tools/debian");
/** What a package may expect of any Debian with systemd, and what the tests look with. */
const PACKAGES = ["systemd", "dbus", "init-system-helpers", "curl", "ca-certificates", "libseccomp2"];
const BOOT = join(import.meta.dir, "boot-machine.sh");
const COMMAND_LIMIT_MS = 120_000;
/** A Debian is some hundred packages from a mirror. */
const BOOTSTRAP_LIMIT_MS = 400_000;
/** How often it is begun: what is fetched may not come. */
const BOOTSTRAP_TRIES = 3;
const BOOT_LIMIT_MS = 150_000;

/** How a command ended. */
export interface Ended {
  code: number;
  /** Both of its outputs, without what is around them. */
  text: string;
}

async function run(cmd: string[], env: Record<string, string> = {}, timeout = COMMAND_LIMIT_MS): Promise<Ended> {
  const child = Bun.spawn(cmd, {
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
    timeout,
    env: { PATH: "/usr/sbin:/usr/bin:/sbin:/bin", HOME: "/root", ...env },
  });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, text: `${out}${err}`.trim() };
}

/** Why this machine cannot have another one inside it; null when it can. */
export async function machineProblem(): Promise<string | null> {
  if (process.getuid?.() !== 0) return "only root can start a machine inside";
  const folder = mkdtempSync(join(tmpdir(), "glissade-machine-"));
  const namespaces = ["unshare", "--mount", "--pid", "--fork", "--uts", "--ipc", "--cgroup"];
  const { code, text } = await run([...namespaces, "mount", "-t", "cgroup2", "cgroup2", folder]);
  rmSync(folder, { recursive: true, force: true });
  return code === 0 ? null : `no namespaces here: ${text}`;
}

/** A clean Debian as an archive, made once for each checkout. */
export async function debianRoot(): Promise<string> {
  const path = join(TOOLS, "bookworm.tar");
  if (existsSync(path)) return path;
  mkdirSync(TOOLS, { recursive: true });
  const draft = `${path}.${process.pid}`;
  const include = `--include=${PACKAGES.join(",")}`;
  const command = ["mmdebstrap", "--quiet", "--variant=minbase", "--mode=root", include, "bookworm", `${draft}.tar`];
  for (let tries = 1; ; tries += 1) {
    const made = await run(command, {}, BOOTSTRAP_LIMIT_MS);
    if (made.code === 0) break;
    rmSync(`${draft}.tar`, { force: true });
    if (tries === BOOTSTRAP_TRIES) throw new Error(`no clean Debian: ${made.text}`);
  }
  renameSync(`${draft}.tar`, path);
  return path;
}

/** A machine of its own but for the network: systemd is its first process. */
export class DebianMachine {
  readonly root: string;
  readonly #folder: string;
  readonly #boot: Bun.Subprocess<"ignore", "pipe", "pipe">;
  readonly #init: string;

  private constructor(folder: string, boot: Bun.Subprocess<"ignore", "pipe", "pipe">, init: string) {
    this.#folder = folder;
    this.root = join(folder, "root");
    this.#boot = boot;
    this.#init = init;
  }

  static async boot(): Promise<DebianMachine> {
    const folder = mkdtempSync(join(tmpdir(), "glissade-machine-"));
    mkdirSync(join(folder, "root"));
    const unpacked = await run(["tar", "-xf", await debianRoot(), "-C", join(folder, "root")]);
    if (unpacked.code !== 0) throw new Error(unpacked.text);
    const boot = Bun.spawn(["sh", BOOT, folder], { stdin: "ignore", stdout: "pipe", stderr: "pipe" });
    const deadline = performance.now() + BOOT_LIMIT_MS;
    while (performance.now() < deadline) {
      await Bun.sleep(100);
      if (boot.exitCode !== null) break;
      const children = await run(["pgrep", "-P", String(boot.pid)]);
      if (children.code !== 0) continue;
      const machine = new DebianMachine(folder, boot, children.text);
      const { text } = await machine.run("systemctl", "is-system-running");
      if (text === "running" || text === "degraded") return machine;
    }
    boot.kill("SIGKILL");
    throw new Error(`the machine does not start: ${await new Response(boot.stderr).text()}`);
  }

  /** Runs a command in the machine. */
  run(...command: string[]): Promise<Ended> {
    return run([
      "nsenter",
      "--target",
      this.#init,
      "--mount",
      "--pid",
      "--ipc",
      "--uts",
      "--cgroup",
      "--root",
      "--wd",
      ...command,
    ]);
  }

  /** As `run`, but for commands that have to succeed; what they print. */
  async must(...command: string[]): Promise<string> {
    const { code, text } = await this.run(...command);
    if (code !== 0) throw new Error(`${command.join(" ")} ended with code ${code}: ${text}`);
    return text;
  }

  async halt(): Promise<void> {
    this.#boot.kill("SIGKILL");
    await this.#boot.exited;
    // Its control groups stay behind otherwise; they are those with this machine's number.
    const groups = `${this.#folder}/cgroup`;
    const clear = `mount -t cgroup2 cgroup2 ${groups} && find ${groups}/glissade-machine-${this.#boot.pid} -depth -type d -exec rmdir {} +`;
    await run(["unshare", "--mount", "sh", "-c", clear]);
    rmSync(this.#folder, { recursive: true, force: true });
  }
}
