import { createHash } from "node:crypto";
import { basename, join } from "node:path";

/** A bundled file before it is compressed. */
export interface BundledFile {
  path: string;
  bytes: Uint8Array<ArrayBuffer>;
}

/** The page; it is asked for as the folder it lies in, so it keeps its name. */
export const PAGE_NAME = "index.html";

/** Bundles `web/` of a checkout: the page, one script, one style sheet, named by their content. */
export async function bundleConsole(root: string): Promise<BundledFile[]> {
  const built = await Bun.build({
    entrypoints: [join(root, "web", PAGE_NAME)],
    target: "browser",
    minify: true,
    publicPath: "./",
    naming: { entry: "[name].[ext]", chunk: "[name].[ext]", asset: "[name].[ext]" },
    define: { "process.env.NODE_ENV": '"production"' },
    // Without it the runtime's own NODE_ENV says which of the two JSX runtimes is used.
    jsx: { runtime: "automatic", importSource: "preact", development: false },
  });
  const outputs: BundledFile[] = [];
  for (const output of built.outputs) {
    outputs.push({ path: basename(output.path), bytes: new Uint8Array(await output.arrayBuffer()) });
  }
  return withNames(outputs);
}

/** The bundler's own hashes tell where a checkout lies: the same content would have another name elsewhere. */
function withNames(outputs: readonly BundledFile[]): BundledFile[] {
  const named: BundledFile[] = [];
  let page = "";
  for (const { path, bytes } of outputs) {
    if (path === PAGE_NAME) page = new TextDecoder().decode(bytes);
  }
  for (const { path, bytes } of outputs) {
    if (path === PAGE_NAME) continue;
    const dot = path.lastIndexOf(".");
    const name = `${path.slice(0, dot)}-${hashOf(bytes)}${path.slice(dot)}`;
    page = page.replaceAll(`"./${path}"`, `"./${name}"`);
    named.push({ path: name, bytes });
  }
  return [{ path: PAGE_NAME, bytes: new Uint8Array(new TextEncoder().encode(page)) }, ...named];
}

const HASH_DIGITS = 16;

/** In lower case alone: names of files. */
const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex").slice(0, HASH_DIGITS);

/** Short, and the same for the same content. */
export const etagOf = (bytes: Uint8Array): string => `"${hashOf(bytes)}"`;
