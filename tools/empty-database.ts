// Packs an empty database for the executable: `bun tools/empty-database.ts <file>`. The same sources make the same bytes:
// clock and randomness stand still. What is random in a database of PostgreSQL is its system identifier, by which replicas
// know each other, and a nonce for passwords of unknown users; the embedded one has neither replicas nor passwords.
import nodeCrypto from "node:crypto";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** The begin of 2026; nothing depends on it. */
const STANDS_AT_MS = 1_767_225_600_000;

/** Only for a process that makes the template and ends. */
function stopTheWorld(): void {
  let state = 1;
  const fill = <View extends ArrayBufferView>(view: View): View => {
    const bytes = new Uint8Array(view.buffer, view.byteOffset, view.byteLength);
    for (let at = 0; at < bytes.length; at += 1) {
      state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
      bytes[at] = state >>> 24;
    }
    return view;
  };
  let monoMs = 0;
  Object.assign(nodeCrypto, { randomFillSync: fill });
  Object.assign(crypto, { getRandomValues: fill });
  Object.assign(performance, { now: () => (monoMs += 0.001) });
  globalThis.Date = new Proxy(Date, {
    construct: (real, args: unknown[]) => Reflect.construct(real, args.length === 0 ? [STANDS_AT_MS] : args) as object,
    get: (real, name) => (name === "now" ? () => STANDS_AT_MS : Reflect.get(real, name)),
  });
}

const [outfile] = process.argv.slice(2);
if (outfile === undefined) throw new Error("usage: bun tools/empty-database.ts <file>");
stopTheWorld();
// Only now: the engine looks for clock and randomness when it is loaded.
const [{ createDatabase }, { packDirectory }] = await Promise.all([
  import("#db/embedded-engine.ts"),
  import("#db/directory-archive.ts"),
]);
const workshop = mkdtempSync(join(tmpdir(), "glissade-database-"));
try {
  await createDatabase(join(workshop, "database"));
  writeFileSync(outfile, packDirectory(join(workshop, "database")));
} finally {
  rmSync(workshop, { recursive: true, force: true });
}
