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
    naming: { entry: "[name].[ext]", chunk: "[name]-[hash].[ext]", asset: "[name]-[hash].[ext]" },
    define: { "process.env.NODE_ENV": '"production"' },
    // Without it the runtime's own NODE_ENV says which of the two JSX runtimes is used.
    jsx: { runtime: "automatic", importSource: "preact", development: false },
  });
  const files: BundledFile[] = [];
  for (const output of built.outputs) {
    files.push({ path: basename(output.path), bytes: new Uint8Array(await output.arrayBuffer()) });
  }
  return files;
}

/** Short, and the same for the same content. */
export const etagOf = (bytes: Uint8Array): string =>
  `"${createHash("sha256").update(bytes).digest("base64url").slice(0, 16)}"`;
