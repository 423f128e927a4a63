const ROOT = new URL("../../../", import.meta.url).pathname;
/** What ships; tests, bench and tools may import anything. */
const SOURCES = "{src,actors,db}/**/*.ts";

/** What one room imports from the others and from packages. */
export interface RoomImports {
  /** Rooms whose code it runs. */
  code: Set<string>;
  /** Rooms of which it only uses types: nothing of these is loaded. */
  types: Set<string>;
  packages: Set<string>;
}

/** One import of one file. */
export interface Import {
  specifier: string;
  isTypeOnly: boolean;
}

const STATEMENT =
  /^(?:import|export)\s+(?:(type)\s+)?([^;"'()]*?)\s*from\s*"([^"]+)"|^import\s*"([^"]+)"|\bimport\(\s*"([^"]+)"\s*\)/gm;

/** Every import and re-export of a source text, dynamic ones too. */
export function importsOf(source: string): Import[] {
  return [...source.matchAll(STATEMENT)].map(([, type, names = "", from, bare, dynamic]) => ({
    specifier: from ?? bare ?? dynamic ?? "",
    isTypeOnly: from !== undefined && (type === "type" || isAllTypes(names)),
  }));
}

function isAllTypes(names: string): boolean {
  const listed = /^\{([\s\S]*)\}$/.exec(names.trim())?.[1];
  if (listed === undefined) return false;
  return listed
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "")
    .every((name) => name.startsWith("type "));
}

/**
 * Where a file belongs: the folder of its part. Files directly under `src` and `actors` are rooms of their own, but for
 * `config.ts`, which is the face of its folder.
 */
function roomOf(path: string): string {
  const [top = "", second = ""] = path.split("/");
  if (top === "db") return top;
  return `${top}/${second === "config.ts" ? "config" : second}`;
}

/** Imports between rooms, as the sources have them; files that are not source (SQL, JSON) are nobody's. */
export async function measureImports(): Promise<Map<string, RoomImports>> {
  const measured = new Map<string, RoomImports>();
  const paths = [...new Bun.Glob(SOURCES).scanSync({ cwd: ROOT })].sort();
  for (const path of paths) {
    const room = roomOf(path);
    const imports = measured.get(room) ?? { code: new Set(), types: new Set(), packages: new Set() };
    measured.set(room, imports);
    for (const { specifier, isTypeOnly } of importsOf(await Bun.file(ROOT + path).text())) {
      const target = targetOf(path, specifier);
      if (target === null) imports.packages.add(packageOf(specifier));
      else if (target.endsWith(".ts") && roomOf(target) !== room)
        (isTypeOnly ? imports.types : imports.code).add(roomOf(target));
    }
  }
  for (const { code, types } of measured.values()) for (const room of code) types.delete(room);
  return new Map([...measured].sort(([a], [b]) => compare(a, b)));
}

/** The path of an imported file; null for a package. */
function targetOf(from: string, specifier: string): string | null {
  if (specifier.startsWith("#")) return specifier.slice(1);
  return specifier.startsWith(".") ? new URL(specifier, `file:///${from}`).pathname.slice(1) : null;
}

function packageOf(specifier: string): string {
  if (specifier.startsWith("node:")) return "node:*";
  const [scope = "", name = ""] = specifier.split("/");
  return scope.startsWith("@") ? `${scope}/${name}` : scope;
}

/** Rooms, one row each, as they stand in ARCHITECTURE.md. */
export function importsTable(measured: ReadonlyMap<string, RoomImports>): string {
  const rows = [...measured].map(
    ([room, { code, types, packages }]) => `| \`${room}\` | ${cell(code)} | ${cell(types)} | ${cell(packages)} |`,
  );
  return ["| room | runs | knows the types of | packages |", "|---|---|---|---|", ...rows].join("\n");
}

const cell = (names: ReadonlySet<string>): string =>
  [...names]
    .sort(compare)
    .map((name) => `\`${name}\``)
    .join(" ");
const compare = (a: string, b: string): number => (a < b ? -1 : Number(a > b));

/** A round trip through code imports that comes back to where it began; null when there is none. */
export function findCycle(measured: ReadonlyMap<string, Pick<RoomImports, "code">>): string[] | null {
  const done = new Set<string>();
  const visit = (room: string, path: readonly string[]): string[] | null => {
    if (path.includes(room)) return [...path.slice(path.indexOf(room)), room];
    if (done.has(room)) return null;
    for (const next of measured.get(room)?.code ?? []) {
      const cycle = visit(next, [...path, room]);
      if (cycle !== null) return cycle;
    }
    done.add(room);
    return null;
  };
  for (const room of measured.keys()) {
    const cycle = visit(room, []);
    if (cycle !== null) return cycle;
  }
  return null;
}
