import { describe, expect, test } from "bun:test";
import { mkdirSync, readFileSync, readdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { temporaryDirectory } from "#test/support/database.ts";
import { packDirectory, unpackDirectory } from "#db/directory-archive.ts";

describe("a packed directory", () => {
  test("[EMB-50] comes back whole, with empty files and directories, and is its owner's alone", async () => {
    await using directory = await temporaryDirectory();
    const [source, copy] = [join(directory.path, "source"), join(directory.path, "copy")];
    mkdirSync(join(source, "base", "empty"), { recursive: true });
    const files = {
      "base/1": Buffer.from([0, 255, 10]),
      "base/none": Buffer.alloc(0),
      PG_VERSION: Buffer.from("18\n"),
    };
    for (const [path, body] of Object.entries(files)) writeFileSync(join(source, path), body);
    const packed = packDirectory(source);

    await unpackDirectory(packed, copy);
    const list = (path: string): string[] => readdirSync(path, { recursive: true, encoding: "utf8" }).toSorted();
    expect(list(copy)).toEqual(list(source));
    for (const [path, body] of Object.entries(files)) expect(readFileSync(join(copy, path))).toEqual(body);
    for (const path of list(copy)) expect(statSync(join(copy, path)).mode & 0o077).toBe(0);
    expect(statSync(copy).mode & 0o077).toBe(0);
  });

  test("[EMB-51] that is damaged is not taken for whole", async () => {
    await using directory = await temporaryDirectory();
    const source = join(directory.path, "source");
    mkdirSync(source);
    writeFileSync(join(source, "file"), "content");
    const packed = packDirectory(source);
    const cut = Bun.zstdCompressSync(Bun.zstdDecompressSync(packed).slice(0, -1));
    for (const damaged of [packed.slice(0, -1), cut]) {
      const error = await unpackDirectory(damaged, join(directory.path, "copy")).catch((caught: unknown) => caught);
      expect(error).toBeInstanceOf(Error);
    }
  });
});
