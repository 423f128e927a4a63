import type { Finding } from "#src/doctor/finding.ts";
import { EXECUTABLE } from "./glissade-process.ts";

/** What one run of `glissade doctor` came to. */
export interface DoctorRun {
  code: number;
  proxy: string | null;
  findings: readonly Finding[];
}

/** Runs the executable's doctor, as an operator does from elsewhere. */
export async function runDoctorFrom(
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
): Promise<DoctorRun> {
  const child = Bun.spawn([EXECUTABLE, "doctor", ...args, "--json"], {
    env: { PATH: process.env["PATH"] ?? "", ...env },
    stdin: "ignore",
    stdout: "pipe",
    stderr: "pipe",
  });
  const [out, err, code] = await Promise.all([
    new Response(child.stdout).text(),
    new Response(child.stderr).text(),
    child.exited,
  ]);
  if (!out.startsWith("{")) throw new Error(`the doctor ended with ${code}: ${err}${out}`);
  return { ...(JSON.parse(out) as Omit<DoctorRun, "code">), code };
}
