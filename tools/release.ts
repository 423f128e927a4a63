// Builds everything a release consists of: `bun run release`. The same commit and Bun make the same bytes.
import { createHash } from "node:crypto";
import { copyFileSync, mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { buildDeb } from "./deb.ts";
import { ROOT, buildExecutable, git, makeAssets, run, version } from "./executable.ts";
import { smokeTest } from "./foreign-root.ts";
import { billOfMaterials, containedPackages, licencesText, placesOf } from "./sbom.ts";
import type { ContainedPackage, LockEntry, Manifest } from "./sbom.ts";
import { TARGETS } from "./targets.ts";
import type { Target } from "./targets.ts";

const { values } = parseArgs({
  options: {
    out: { type: "string", default: "dist/release" },
    /** Names of `TARGETS`; without it, all. */
    target: { type: "string", multiple: true, default: TARGETS.map(({ name }) => name) },
    /** Leaves out the smoke tests: for builds that are compared, never for what is shipped. */
    untested: { type: "boolean", default: false },
    /** Archives and packages are hardly compressed: for builds that go no further than a test. */
    fast: { type: "boolean", default: false },
    /** From a checkout with changes. */
    dirty: { type: "boolean", default: false },
  },
});

/** The time of the commit: a release is as old as its sources. */
function sourceEpoch(): number {
  const epoch = Number(process.env["SOURCE_DATE_EPOCH"] ?? git("log", "-1", "--format=%ct"));
  if (!Number.isInteger(epoch) || epoch <= 0) throw new Error("set SOURCE_DATE_EPOCH: there is no git to ask");
  return epoch;
}

const inputsOf = (metafile: string): string[] =>
  Object.keys((JSON.parse(readFileSync(metafile, "utf8")) as { inputs: Record<string, unknown> }).inputs);

/** Packages whose files were bundled into the executable, or into the console inside it. */
function readContained(metafiles: readonly string[]): ContainedPackage[] {
  const lock = Bun.JSONC.parse(readFileSync(join(ROOT, "bun.lock"), "utf8")) as { packages: Record<string, LockEntry> };
  return containedPackages(placesOf(metafiles.flatMap(inputsOf)), lock.packages, (place) => {
    const path = join(ROOT, "node_modules", installed(place), "package.json");
    const manifest = JSON.parse(readFileSync(path, "utf8")) as { name: string; version: string; license: string };
    return { name: manifest.name, version: manifest.version, licence: manifest.license } satisfies Manifest;
  });
}

/** `a/b` of the lock file is the `b` in `a`'s own `node_modules`. */
const installed = (place: string): string => (place.match(/@[^/]+\/[^/]+|[^/]+/g) ?? []).join("/node_modules/");

function licenceFiles(place: string): string[] {
  const folder = join(ROOT, "node_modules", installed(place));
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isFile() && /^(licen[cs]e|copying|notice)/i.test(entry.name))
    .map(({ name }) => name)
    .toSorted()
    .map((name) => readFileSync(join(folder, name), "utf8"));
}

/** One archive with everything that somebody needs who installs by hand. */
function pack(target: Target, folder: string, epoch: number): string {
  const name = `glissade-${version()}-${target.name}.tar.gz`;
  const plain = join(folder, "..", "archive.tar");
  const order = ["--sort=name", "--owner=0", "--group=0", "--numeric-owner", "--format=ustar", `--mtime=@${epoch}`];
  run(["tar", ...order, "-cf", plain, "-C", join(folder, ".."), `glissade-${version()}`]);
  writeFileSync(join(out, name), Bun.gzipSync(readFileSync(plain), { level: values.fast ? 1 : 6 }));
  return name;
}

const targets = TARGETS.filter(({ name }) => values.target.includes(name));
const unknown = values.target.filter((name) => !TARGETS.some((target) => target.name === name));
if (unknown.length > 0 || targets.length === 0) throw new Error(`unknown target ${unknown.join(", ")}`);
if (!values.dirty && git("status", "--porcelain") !== "")
  throw new Error("the checkout has changes: commit them first");

const epoch = sourceEpoch();
const out = resolve(ROOT, values.out);
const workshop = join(out, "work");
rmSync(out, { recursive: true, force: true });
mkdirSync(workshop, { recursive: true });
makeAssets(workshop);
const [metafile, consoleMetafile] = [join(workshop, "meta.json"), join(workshop, "console.json")];
const bundling = [
  "build",
  "--target=browser",
  `--metafile=${consoleMetafile}`,
  `--outdir=${join(workshop, "console")}`,
];
run([process.execPath, ...bundling, "web/index.html"]);
const made: string[] = [];
for (const target of targets) {
  const folder = join(workshop, target.name, `glissade-${version()}`);
  const executable = join(folder, "glissade");
  buildExecutable({ outfile: executable, target: target.bun, workshop, metafile });
  if (!values.untested) await smokeTest(target, executable, join(workshop, `root-${target.name}`));
  const contained = readContained([metafile, consoleMetafile]);
  const licences = licencesText(contained, licenceFiles);
  writeFileSync(join(folder, "THIRD-PARTY-LICENSES.txt"), licences);
  copyFileSync(join(ROOT, "LICENSE"), join(folder, "LICENSE"));
  rmSync(`${executable}.map`, { force: true });
  made.push(pack(target, folder, epoch));
  if (target.deb !== null) {
    const name = `glissade_${version()}_${target.deb}.deb`;
    const layout = join(workshop, "deb");
    const outfile = join(out, name);
    buildDeb({
      executable,
      architecture: target.deb,
      version: version(),
      epoch,
      licences,
      compression: values.fast ? "none" : "xz",
      workshop: layout,
      outfile,
    });
    made.push(name);
  }
  const bill = `glissade-${version()}.cdx.json`;
  const release = { version: version(), bunVersion: Bun.version, epoch };
  writeFileSync(join(out, bill), `${JSON.stringify(billOfMaterials(contained, release), null, 2)}\n`);
  if (!made.includes(bill)) made.push(bill);
}
rmSync(workshop, { recursive: true, force: true });
const sums = made.toSorted().map((name) => {
  const hash = createHash("sha256").update(readFileSync(join(out, name)));
  return `${hash.digest("hex")}  ${name}\n`;
});
writeFileSync(join(out, "SHA256SUMS"), sums.join(""));
console.log(sums.join(""));
