import { createHash } from "node:crypto";

/** One package whose code is inside the executable. */
export interface ContainedPackage {
  name: string;
  version: string;
  /** As its package.json says: an SPDX id or expression. */
  licence: string;
  /** Its place in `node_modules`, as the lock file names it: `a` or `a/b` for a `b` of `a`'s own. */
  place: string;
  /** What the lock file says its archive must hash to (`sha512-…`, base64). */
  integrity: string;
  dependencies: readonly string[];
}

/** What comes with the runtime, or is compiled into another package, and has no package.json of its own. */
export const RUNTIME_PARTS = [
  { name: "bun", licence: "MIT", about: "the JavaScript runtime", source: "https://github.com/oven-sh/bun" },
  {
    name: "JavaScriptCore",
    licence: "LGPL-2.0-only",
    about: "the JavaScript engine inside Bun",
    source: "https://github.com/oven-sh/WebKit",
  },
  {
    name: "PostgreSQL",
    licence: "PostgreSQL",
    about: "compiled to WebAssembly inside @electric-sql/pglite",
    source: "https://github.com/electric-sql/pglite",
  },
] as const;

/** An entry of `packages` in bun.lock: `name@version`, registry, information, integrity. */
export type LockEntry = readonly [string, string, { dependencies?: Record<string, string> }, string];

/** What a package.json tells about a package. */
export interface Manifest {
  name: string;
  version: string;
  licence: string;
}

/** Places in `node_modules` that files of a build (its metafile's inputs) come from. */
export function placesOf(inputs: readonly string[]): string[] {
  const places = inputs.flatMap((path) => {
    const parts = path.split("node_modules/").slice(1);
    if (parts.length === 0) return [];
    return [parts.map((part) => part.split("/", part.startsWith("@") ? 2 : 1).join("/")).join("/")];
  });
  return [...new Set(places)].toSorted();
}

/** Joins what was built, what is installed and what is locked; throws when they do not agree. */
export function containedPackages(
  places: readonly string[],
  lock: Readonly<Record<string, LockEntry>>,
  manifestOf: (place: string) => Manifest,
): ContainedPackage[] {
  return places.map((place) => {
    const entry = lock[place];
    if (entry === undefined) throw new Error(`${place} is in the executable, but not in bun.lock`);
    const { name, version, licence } = manifestOf(place);
    const [locked, , { dependencies = {} }, integrity] = entry;
    if (locked !== `${name}@${version}`) throw new Error(`bun.lock has ${locked}, installed is ${name}@${version}`);
    const needed = Object.keys(dependencies).map((dependency) =>
      lock[`${place}/${dependency}`] === undefined ? dependency : `${place}/${dependency}`,
    );
    return { name, version, licence, place, integrity, dependencies: needed };
  });
}

/** What a bill of materials says about the whole. */
export interface Release {
  version: string;
  bunVersion: string;
  /** Seconds since 1970; the time of the commit, so that the same sources make the same bytes. */
  epoch: number;
}

/** A bill of materials (CycloneDX 1.6) of the executable. */
export function billOfMaterials(packages: readonly ContainedPackage[], release: Release): Record<string, unknown> {
  const inside = new Set(packages.map(({ place }) => place));
  const references = new Map(packages.map((contained) => [contained.place, purl(contained)]));
  const own = `pkg:generic/glissade@${release.version}`;
  const components = [
    ...packages.map((contained) => ({
      type: "library",
      "bom-ref": purl(contained),
      ...nameParts(contained.name),
      version: contained.version,
      licenses: [licenceChoice(contained.licence)],
      hashes: [{ alg: "SHA-512", content: Buffer.from(contained.integrity.slice(7), "base64").toString("hex") }],
      purl: purl(contained),
    })),
    ...RUNTIME_PARTS.map(({ name, licence, about, source }) => ({
      type: name === "bun" ? "platform" : "library",
      "bom-ref": `runtime:${name}`,
      name,
      ...(name === "bun" ? { version: release.bunVersion, purl: `pkg:npm/bun@${release.bunVersion}` } : {}),
      description: about,
      licenses: [licenceChoice(licence)],
      externalReferences: [{ type: "vcs", url: source }],
    })),
  ];
  const dependencies = [
    { ref: own, dependsOn: components.map((component) => component["bom-ref"]) },
    ...packages.map((contained) => ({
      ref: purl(contained),
      dependsOn: contained.dependencies
        .filter((place) => inside.has(place))
        .map((place) => references.get(place) ?? "")
        .toSorted(),
    })),
  ];
  const body = {
    metadata: {
      timestamp: new Date(release.epoch * 1000).toISOString(),
      component: {
        type: "application",
        "bom-ref": own,
        name: "glissade",
        version: release.version,
        licenses: [licenceChoice("Apache-2.0")],
      },
    },
    components,
    dependencies,
  };
  const serialNumber = `urn:uuid:${uuidOf(JSON.stringify(body))}`;
  return { bomFormat: "CycloneDX", specVersion: "1.6", serialNumber, version: 1, ...body };
}

const purl = ({ name, version }: ContainedPackage): string => `pkg:npm/${name.replace("@", "%40")}@${version}`;

function nameParts(name: string): Record<string, string> {
  const [group, short] = name.split("/");
  return group !== undefined && short !== undefined ? { group, name: short } : { name };
}

const licenceChoice = (licence: string): Record<string, unknown> =>
  /[ ()]/.test(licence) ? { expression: licence } : { license: { id: licence } };

/** The same for the same content. */
function uuidOf(content: string): string {
  const hex = createHash("sha256").update(content).digest("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-8${hex.slice(13, 16)}-a${hex.slice(17, 20)}-${hex.slice(20, 32)}`;
}

/** The licences of everything inside, as one text; `textsOf` gives the licence files of a place. */
export function licencesText(
  packages: readonly ContainedPackage[],
  textsOf: (place: string) => readonly string[],
): string {
  const runtime = RUNTIME_PARTS.map(({ name, licence, about, source }) => `${name} (${licence}): ${about}, ${source}`);
  const parts = packages.map((contained) => {
    const texts = textsOf(contained.place);
    const title = `${contained.name} ${contained.version} (${contained.licence})`;
    const body = texts.length === 0 ? "The package brings no text of its licence." : texts.join("\n\n").trim();
    return `${"=".repeat(78)}\n${title}\n${"=".repeat(78)}\n\n${body.replaceAll("\r\n", "\n")}\n`;
  });
  return `Glissade is licensed under Apache-2.0. Its executable contains:\n\n${runtime.join("\n")}\n\n${parts.join("\n")}`;
}
