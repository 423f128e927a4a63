import { existsSync } from "node:fs";
import { cp, mkdir, mkdtemp, rename, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** Programs of one module, compiled into the checkout's tool folder. */
export interface GoPrograms {
  module: string;
  /** With its `v`. */
  version: string;
  /** Packages of the module, each a program. */
  packages: readonly string[];
  /** Name of their folder. */
  name: string;
  /** Environment variable that asks for compiling them: it takes a while, and is worth it only now and then. */
  wish: string;
  /** Whether they are bound to libraries written in C. */
  needsC: boolean;
}

const homeOf = ({ name, version }: GoPrograms): string =>
  join(import.meta.dir, `../../.tools/${name}-${version.slice(1)}`);

/** Runs a command in a directory and resolves to what it printed. */
export async function runGoProgram(command: string[], cwd: string, env: Record<string, string> = {}): Promise<string> {
  const child = Bun.spawn(command, { cwd, stdout: "pipe", stderr: "pipe", env: { ...process.env, ...env } });
  const [out, err] = await Promise.all([new Response(child.stdout).text(), new Response(child.stderr).text()]);
  if ((await child.exited) !== 0) throw new Error(`${command.join(" ")} failed: ${err}`);
  return out;
}

/** Why they cannot be had here; null when they can. */
export function goProgramsProblem(programs: GoPrograms): string | null {
  if (existsSync(homeOf(programs))) return null;
  if (process.env[programs.wish] !== "1")
    return `compiling ${programs.module} takes a while: set ${programs.wish}=1 once`;
  return Bun.which("go") === null ? "go is not installed" : null;
}

/** From the module proxy of Go; resolves to their folder. */
export async function installGoPrograms(programs: GoPrograms): Promise<string> {
  const home = homeOf(programs);
  if (existsSync(home)) return home;
  const env = { CGO_ENABLED: programs.needsC ? "1" : "0" };
  const workshop = await mkdtemp(join(tmpdir(), `glissade-${programs.name}-build-`));
  try {
    const { module, version, packages } = programs;
    const told = await runGoProgram(["go", "mod", "download", "-json", `${module}@${version}`], workshop);
    const { Dir } = JSON.parse(told) as { Dir: string };
    await cp(Dir, join(workshop, "source"), { recursive: true });
    await runGoProgram(["chmod", "-R", "u+w", "source"], workshop);
    await mkdir(join(workshop, "programs"));
    await runGoProgram(
      ["go", "build", "-buildvcs=false", "-o", "../programs/", ...packages],
      join(workshop, "source"),
      env,
    );
    await mkdir(join(home, ".."), { recursive: true });
    await rename(join(workshop, "programs"), home);
    return home;
  } finally {
    await rm(workshop, { recursive: true, force: true });
  }
}
