import { CONSOLE_ENCODINGS, type ConsoleEncoding, type ConsoleFile, type ConsoleFiles } from "#src/ports/console.ts";
import { bundleConsole, type BundledFile, etagOf, PAGE_NAME } from "./bundle.ts";
import { embeddedPartOf } from "./embedded-name.ts";

const CONTENT_TYPES: Readonly<Record<string, string>> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  css: "text/css; charset=utf-8",
  svg: "image/svg+xml",
};

/** An embedded file as the runtime lists it. */
export interface EmbeddedFile {
  name: string;
  bytes: () => Promise<Uint8Array<ArrayBuffer>>;
}

/** The console of this program. */
export function ownConsole(): ConsoleFiles {
  const embedded = Bun.embeddedFiles.map((file) => ({
    name: "name" in file ? String(file.name) : "",
    bytes: () => file.bytes(),
  }));
  return openConsoleFiles(embedded, new URL("../..", import.meta.url).pathname);
}

type Bodies = Map<string, Partial<Record<ConsoleEncoding, Uint8Array<ArrayBuffer>>>>;

/** The console that the build put into the executable; from source, `web/` is bundled anew for each load of the page. */
export function openConsoleFiles(embedded: readonly EmbeddedFile[], root: string): ConsoleFiles {
  const isEmbedded = embedded.some(({ name }) => embeddedPartOf(name) !== null);
  let files: Promise<Map<string, ConsoleFile>> | null = null;
  const load = async (): Promise<Map<string, ConsoleFile>> =>
    toFiles(isEmbedded ? await readEmbedded(embedded) : ofBundle(await bundleConsole(root)));
  return {
    async find(path) {
      if (files === null || (!isEmbedded && path === "")) files = load();
      return (await files).get(path === "" ? PAGE_NAME : path) ?? null;
    },
  };
}

async function readEmbedded(embedded: readonly EmbeddedFile[]): Promise<Bodies> {
  const bodies: Bodies = new Map();
  for (const file of embedded) {
    const part = embeddedPartOf(file.name);
    if (part === null) continue;
    bodies.set(part.path, { ...bodies.get(part.path), [part.encoding]: await file.bytes() });
  }
  return bodies;
}

const ofBundle = (files: readonly BundledFile[]): Bodies =>
  new Map(files.map(({ path, bytes }) => [path, { identity: bytes }]));

function toFiles(all: Bodies): Map<string, ConsoleFile> {
  const files = new Map<string, ConsoleFile>();
  for (const [path, bodies] of all) {
    const first = CONSOLE_ENCODINGS.map((encoding) => bodies[encoding]).findLast((body) => body !== undefined);
    if (first === undefined) continue;
    const contentType = CONTENT_TYPES[path.slice(path.lastIndexOf(".") + 1)] ?? "application/octet-stream";
    files.set(path, { path, contentType, etag: etagOf(first), isImmutable: path !== PAGE_NAME, bodies });
  }
  return files;
}
