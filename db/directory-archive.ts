import { mkdirSync, readFileSync, readdirSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import { SyncError } from "#src/errors.ts";

/** Files that are brought to the disk at once: the disk takes many in one go. */
const WRITES_AT_ONCE = 64;
const LENGTH_BYTES = 4;
/** Made once for each build, unpacked once for each database. */
const COMPRESSION_LEVEL = 19;

interface Contents {
  /** Parents before what they hold; the empty ones too. */
  directories: string[];
  files: [path: string, sizeBytes: number][];
}

/** Everything in a directory, compressed. */
export function packDirectory(directory: string): Uint8Array {
  const entries = readdirSync(directory, { recursive: true, withFileTypes: true });
  const pathOf = (entry: (typeof entries)[number]): string =>
    join(entry.parentPath, entry.name).slice(directory.length + 1);
  const paths = (isWanted: (entry: (typeof entries)[number]) => boolean): string[] =>
    entries.filter(isWanted).map(pathOf).toSorted();
  const bodies = paths((entry) => entry.isFile()).map((path) => ({ path, body: readFileSync(join(directory, path)) }));
  const contents: Contents = {
    directories: paths((entry) => entry.isDirectory()),
    files: bodies.map(({ path, body }) => [path, body.length]),
  };
  const head = Buffer.from(JSON.stringify(contents));
  const length = Buffer.alloc(LENGTH_BYTES);
  length.writeUInt32LE(head.length);
  return Bun.zstdCompressSync(Buffer.concat([length, head, ...bodies.map(({ body }) => body)]), {
    level: COMPRESSION_LEVEL,
  });
}

/** Makes `directory` what `packDirectory` was given; resolves when all of it is on the disk. Only its owner may read it. */
export async function unpackDirectory(packed: Uint8Array, directory: string): Promise<void> {
  const bytes = Buffer.from(Bun.zstdDecompressSync(packed));
  const headEnd = LENGTH_BYTES + bytes.readUInt32LE(0);
  const contents = JSON.parse(bytes.toString("utf8", LENGTH_BYTES, headEnd)) as Contents;
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  for (const path of contents.directories) mkdirSync(join(directory, path), { mode: 0o700 });
  let at = headEnd;
  const files = contents.files.map(([path, sizeBytes]) => {
    const body = bytes.subarray(at, at + sizeBytes);
    at += sizeBytes;
    return { path: join(directory, path), body };
  });
  if (at !== bytes.length) throw new SyncError("internal", "the archive of a directory is damaged");
  for (let first = 0; first < files.length; first += WRITES_AT_ONCE) {
    const group = files.slice(first, first + WRITES_AT_ONCE);
    await Promise.all(group.map(({ path, body }) => writeDurably(path, body)));
  }
  await Promise.all(["", ...contents.directories].map((path) => syncDirectory(join(directory, path))));
}

async function writeDurably(path: string, body: Uint8Array): Promise<void> {
  const file = await open(path, "wx", 0o600);
  try {
    await file.writeFile(body);
    await file.datasync();
  } finally {
    await file.close();
  }
}

/** Its entries are on the disk too, then. */
export async function syncDirectory(path: string): Promise<void> {
  const directory = await open(path, "r");
  try {
    await directory.sync();
  } finally {
    await directory.close();
  }
}
