// Bundles the console for the executable, each file in every encoding: `bun tools/console-files.ts <folder>`.
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { brotliCompressSync, constants, gzipSync } from "node:zlib";
import { bundleConsole } from "#src/console/bundle.ts";
import { embeddedNameOf } from "#src/console/embedded-name.ts";
import { CONSOLE_ENCODINGS } from "#src/ports/console.ts";

const [folder] = process.argv.slice(2);
if (folder === undefined) throw new Error("usage: bun tools/console-files.ts <folder>");
const sums = { identity: 0, gzip: 0, br: 0 };
for (const { path, bytes } of await bundleConsole(join(import.meta.dir, ".."))) {
  // Compressed once, here, as hard as it goes.
  const parts = {
    identity: bytes,
    gzip: gzipSync(bytes, { level: 9 }),
    br: brotliCompressSync(bytes, { params: { [constants.BROTLI_PARAM_QUALITY]: 11 } }),
  };
  for (const encoding of CONSOLE_ENCODINGS) {
    writeFileSync(join(folder, embeddedNameOf({ path, encoding })), parts[encoding]);
    sums[encoding] += parts[encoding].length;
  }
}
console.log(`console: ${sums.identity} bytes, ${sums.gzip} with gzip, ${sums.br} with brotli`);
