import { existsSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Ends what hangs; a browser comes with some hundred packages. */
const INSTALL_LIMIT_MS = 600_000;
/** One at a time, whichever test process it is for. */
const LOCK = join(tmpdir(), "glissade-test-packages.lock");
/**
 * Packages of servers would start them: this answer to `invoke-rc.d` means "not now". What cannot be fetched is tried again,
 * with lists of today at the latest: mirrors drop what is outdated.
 */
const INSTALL = `
set -u
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
  trap 'rm -f "$policy"' EXIT
  printf '#!/bin/sh\\nexit 101\\n' >"$policy"
  chmod 755 "$policy"
fi
apt() { apt-get -o DPkg::Lock::Timeout=180 -o Acquire::Retries=3 -o APT::Update::Error-Mode=any "$@"; }
install() { apt install -y --no-install-recommends "$@"; }
install "$@" && exit 0
apt update || { sleep 5; apt update; } || exit 1
install "$@" || { sleep 5; install "$@"; }
`;

/** What the suites need of Debian, by what it is for. */
export const DEBIAN_PACKAGES = {
  /** Letters to draw with included. */
  browser: ["chromium", "fonts-dejavu-core"],
  proxies: ["nginx", "caddy", "haproxy", "apache2", "openssl"],
  prometheus: ["prometheus"],
  machines: ["mmdebstrap", "procps", "util-linux"],
  images: ["buildah", "mmdebstrap", "curl"],
  compose: ["docker-compose"],
  releases: ["mmdebstrap", "qemu-user-static", "xz-utils"],
} as const;

interface Ended {
  code: number;
  out: string;
  err: string;
}

async function run(...command: string[]): Promise<Ended> {
  const env = { ...process.env, PATH: SYSTEM_PATH, DEBIAN_FRONTEND: "noninteractive" };
  const child = Bun.spawn(command, { stdout: "pipe", stderr: "pipe", timeout: INSTALL_LIMIT_MS, env });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  return { code: await child.exited, out, err };
}

/** Where Debian keeps programs, those of administrators included; a plain user's PATH lacks half of it. */
export const SYSTEM_PATH = `/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin`;

/** The path of a program that a package of Debian brought. */
export function systemProgram(name: string): string {
  const path = Bun.which(name, { PATH: SYSTEM_PATH });
  if (path === null) throw new Error(`${name} is not in ${SYSTEM_PATH}`);
  return path;
}

/**
 * Makes sure that these packages of Debian are installed, installing what is missing where that can be done;
 * resolves to the reason when it cannot, which a test gives when it skips itself.
 */
export async function debianPackages(names: readonly string[]): Promise<string | null> {
  const missing = await missingOf(names);
  if (missing.length === 0) return null;
  const wanted = `needs the packages ${missing.join(", ")}`;
  if (!existsSync("/usr/bin/apt-get")) return `${wanted}: this is not Debian`;
  if (process.getuid?.() !== 0) return `${wanted}: only root can install them`;
  const installed = await run("flock", LOCK, "sh", "-c", INSTALL, "sh", ...missing);
  return installed.code === 0 ? null : `${wanted}: ${installed.err.trim().split("\n").at(-1) ?? "apt-get failed"}`;
}

async function missingOf(names: readonly string[]): Promise<string[]> {
  if (Bun.which("dpkg-query", { PATH: SYSTEM_PATH }) === null) return [...names];
  const { out } = await run("dpkg-query", "-W", "-f", "${Package} ${Status}\n", ...names);
  const installed = new Set(
    out
      .split("\n")
      .filter((line) => line.endsWith(" install ok installed"))
      .map((line) => line.split(" ")[0] ?? ""),
  );
  return names.filter((name) => !installed.has(name));
}
