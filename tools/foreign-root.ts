import { copyFileSync, cpSync, existsSync, mkdirSync, mkdtempSync, readdirSync, rmSync, symlinkSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { run } from "./executable.ts";
import type { Target } from "./targets.ts";

/** The oldest Debian whose musl runs it: Bun's relocations (RELR) need musl 1.2.4. */
const SUITE = "trixie";
/**
 * Debian has no C++ library for musl. Wheels for musl carry that of Alpine; this one is small, and its archive is named by
 * what it hashes to.
 */
const WHEEL = "pyzmq==27.3.0";
const EMULATOR = "/usr/bin/qemu-aarch64-static";
const SMOKE_LIMIT_MS = 180_000;
const EMULATED_ATTEMPTS = 3;

/** Debian's packages that are needed to run a target on this machine; a machine of the same kind needs none. */
export function packagesFor({ machine, libc }: Target): string[] {
  if (runsHere(machine, libc)) return [];
  return ["mmdebstrap", ...(machine === "x86_64" ? [] : ["qemu-user-static"])];
}

const runsHere = (machine: Target["machine"], libc: Target["libc"]): boolean =>
  libc === "glibc" && (process.arch === "x64" ? "x86_64" : "aarch64") === machine;

/**
 * Runs an executable's own smoke test, every host in a Worker, one crashed and back, on this machine or in a root of Debian
 * with that machine's C library, emulated where the processor is another. Throws when it fails.
 */
export async function smokeTest(target: Target, executable: string, root: string): Promise<void> {
  if (runsHere(target.machine, target.libc)) {
    run([executable, "--smoke-test"]);
    return;
  }
  makeRoot(target, root);
  copyFileSync(executable, join(root, "glissade"));
  const isEmulated = target.machine === "aarch64" && process.arch === "x64";
  if (isEmulated) copyFileSync(EMULATOR, join(root, "emulator"));
  const command = [...(isEmulated ? ["/emulator"] : []), "/glissade", "--smoke-test"];
  // `/proc` goes with the namespace, however this ends.
  const script = 'PATH="$PATH:/usr/sbin:/sbin"; mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
  const namespaces = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script, root];
  for (let attempt = 1; ; attempt += 1) {
    const child = Bun.spawn([...namespaces, ...command], {
      stdio: ["ignore", "inherit", "inherit"],
      timeout: SMOKE_LIMIT_MS,
    });
    const code = await child.exited;
    if (code === 0) return;
    // An emulated processor is ten times slower, and hosts have a second to end in.
    if (!isEmulated || attempt === EMULATED_ATTEMPTS)
      throw new Error(`the smoke test of ${target.name} ended with code ${code}`);
  }
}

/** The C libraries of Debian, and for musl a C++ library, without anything that would have to run. */
function makeRoot({ machine, libc }: Target, root: string): void {
  if (existsSync(root)) return;
  const architecture = machine === "x86_64" ? "amd64" : "arm64";
  const base = ["mmdebstrap", "--quiet", "--variant=extract", "--mode=root", `--architectures=${architecture}`];
  run([...base, `--include=${libc === "musl" ? "musl" : "libc6"}`, SUITE, root]);
  for (const folder of ["proc", "tmp"]) mkdirSync(join(root, folder), { recursive: true });
  for (const folder of ["lib", "lib64"])
    if (existsSync(join(root, "usr", folder)) && !existsSync(join(root, folder)))
      symlinkSync(`usr/${folder}`, join(root, folder));
  if (libc === "musl") addCppLibrary(machine, root);
}

function addCppLibrary(machine: Target["machine"], root: string): void {
  const workshop = mkdtempSync(join(tmpdir(), "glissade-musl-"));
  try {
    const options = [
      "--no-deps",
      "--only-binary=:all:",
      `--platform=musllinux_1_2_${machine}`,
      "--python-version=3.11",
    ];
    run(["python3", "-m", "pip", "download", "--quiet", ...options, "--dest", workshop, WHEEL]);
    const [wheel] = readdirSync(workshop);
    run(["python3", "-m", "zipfile", "-e", join(workshop, wheel ?? ""), join(workshop, "wheel")]);
    const libraries = join(workshop, "wheel/pyzmq.libs");
    const target = join(root, `usr/lib/${machine}-linux-musl`);
    for (const name of readdirSync(libraries)) {
      if (name.startsWith("libgcc_s")) cpSync(join(libraries, name), join(target, name));
      if (name.startsWith("libstdc++")) cpSync(join(libraries, name), join(target, "libstdc++.so.6"));
    }
  } finally {
    rmSync(workshop, { recursive: true, force: true });
  }
}
