// Brings what the slow suites need, so that they find it: `tools/test.ts` runs this while the quick ones run.
// What cannot be had is no failure here; the tests that need it say so.
import { DEBIAN_PACKAGES, debianPackages } from "./debian.ts";
import { debianRoot, machineProblem } from "./debian-machine.ts";
import { installSynapse, synapseProblem } from "./synapse.ts";

async function prepare(name: string, work: () => Promise<string | null>): Promise<void> {
  const startedAt = performance.now();
  const problem = await work().catch((error: unknown) => String(error));
  const seconds = ((performance.now() - startedAt) / 1000).toFixed(1);
  process.stderr.write(`[prepare] ${name}: ${problem ?? "here"} (${seconds} s)\n`);
}

async function prepareSynapse(): Promise<string | null> {
  const problem = synapseProblem();
  if (problem === null) await installSynapse();
  return problem;
}

async function prepareRoot(): Promise<string | null> {
  const problem = await machineProblem();
  if (problem === null) await debianRoot();
  return problem;
}

async function prepareDebian(): Promise<void> {
  for (const [name, packages] of Object.entries(DEBIAN_PACKAGES))
    await prepare(`packages for ${name}`, () => debianPackages(packages));
  await prepare("a clean Debian", prepareRoot);
}

await Promise.all([prepare("Synapse", prepareSynapse), prepareDebian()]);
