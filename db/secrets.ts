import { createCipheriv, createDecipheriv, createHash, createHmac, hkdfSync, randomBytes } from "node:crypto";
import { chmodSync, linkSync, mkdirSync, readFileSync, unlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { SyncError } from "#src/errors.ts";
import type { Mac } from "#src/protocol/pos.ts";
import type { Database } from "./connection.ts";
import { movedAway } from "./moved.ts";

const CIPHER = "aes-256-gcm";
const KEY_BYTES = 32;
const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const SECRET_BYTES = 32;
const SECRET_FILE = "secret";

/** What is made from the operator's secret, for one database. */
export interface SecretKeys {
  /** Seals access tokens. */
  tokenKey: Uint8Array;
  /** Says whether this is the secret the database was first used with. */
  check: string;
  /** Seals what a `pos` claims. */
  mac: Mac;
}

/** SHA-256 of an access token in hexadecimal: its lookup key, and the only form that may be logged. */
export const hashToken = (accessToken: string): string => createHash("sha256").update(accessToken).digest("hex");

/** Independent keys for every purpose; `epoch` makes them differ between databases that share a secret. */
export function deriveKeys(secret: string, epoch: string): SecretKeys {
  const derive = (purpose: string): Uint8Array =>
    new Uint8Array(hkdfSync("sha256", secret, epoch, `glissade ${purpose}`, KEY_BYTES));
  const posKey = derive("pos");
  return {
    tokenKey: derive("access tokens"),
    check: Buffer.from(derive("check")).toString("hex"),
    mac: (text) => createHmac("sha256", posKey).update(text).digest("base64url"),
  };
}

/** nonce · ciphertext · tag. `boundTo` must be given again to open it: a sealed token is of no use in another row. */
export function sealToken(key: Uint8Array, accessToken: string, boundTo: string): Uint8Array {
  const nonce = randomBytes(NONCE_BYTES);
  const cipher = createCipheriv(CIPHER, key, nonce).setAAD(Buffer.from(boundTo));
  return Buffer.concat([nonce, cipher.update(accessToken, "utf8"), cipher.final(), cipher.getAuthTag()]);
}

/** The access token; null when the seal was made with another key or for another row, or is damaged. */
export function openToken(key: Uint8Array, sealed: Uint8Array, boundTo: string): string | null {
  if (sealed.length < NONCE_BYTES + TAG_BYTES) return null;
  const decipher = createDecipheriv(CIPHER, key, sealed.subarray(0, NONCE_BYTES), { authTagLength: TAG_BYTES })
    .setAAD(Buffer.from(boundTo))
    .setAuthTag(sealed.subarray(-TAG_BYTES));
  try {
    const opened = [decipher.update(sealed.subarray(NONCE_BYTES, -TAG_BYTES)), decipher.final()];
    return Buffer.concat(opened).toString("utf8");
  } catch {
    return null;
  }
}

/** The random id made with the database, and up to where its to-device positions are another database's (0 = none are). */
export async function loadOrigin(db: Database): Promise<{ epoch: string; importedPos: number }> {
  const [row] = await db.query<{ epoch: string; imported_pos: number; moved_to: string | null; moved_ms: number }>(
    "select epoch, coalesce(imported_pos, 0) as imported_pos, moved_to, coalesce(moved_ms, 0) as moved_ms from meta",
  );
  if (row === undefined) {
    throw new SyncError(
      "internal",
      "the database has no epoch: it was emptied by hand, or is being moved to (db port)",
    );
  }
  if (row.moved_to !== null) throw movedAway({ to: row.moved_to, atMs: row.moved_ms });
  return { epoch: row.epoch, importedPos: row.imported_pos };
}

/** Remembers the first secret a database is used with, and refuses every other one. */
export async function claimSecret(db: Database, keys: SecretKeys): Promise<void> {
  const [known] = await db.query<{ secret_check: string | null }>("select secret_check from meta");
  if (known?.secret_check === keys.check) return;
  // Of two that come first at the same time, one wins, and both learn which.
  const [claimed] = await db.query<{ secret_check: string }>(
    "update meta set secret_check = coalesce(secret_check, $1::text) returning secret_check",
    [keys.check],
  );
  if (claimed?.secret_check === keys.check) return;
  throw new SyncError(
    "unusable_setup",
    "SYNCV3_SECRET does not match this database: its access tokens are sealed with another secret. " +
      "Set SYNCV3_SECRET to the value used before; to replace it, set SYNCV3_SECRET_OLD to that, beside the new one; if that is lost, point SYNCV3_DB to an empty database " +
      "(every device then starts with a first sync)",
  );
}

const errorCode = (error: unknown): unknown => (error instanceof Error && "code" in error ? error.code : null);

/** The secret kept in the data directory; null when there is none. */
export function readSecret(dataDir: string): string | null {
  const path = join(dataDir, SECRET_FILE);
  let secret: string;
  try {
    secret = readFileSync(path, "utf8").trim();
  } catch (error) {
    if (errorCode(error) === "ENOENT") return null;
    throw new SyncError("unusable_setup", `cannot read the secret in ${path}`, { cause: error });
  }
  if (secret === "") throw new SyncError("unusable_setup", `the secret in ${path} is empty: restore it from a backup`);
  return secret;
}

/** The secret kept in the data directory; made there, readable by its owner alone, when there is none yet. */
export function loadOrCreateSecret(dataDir: string): string {
  return readSecret(dataDir) ?? keepSecret(dataDir, randomBytes(SECRET_BYTES).toString("base64url"));
}

/** Keeps a secret in the data directory, unless one is there; that which is there then. */
export function keepSecret(dataDir: string, secret: string): string {
  const path = join(dataDir, SECRET_FILE);
  const draft = `${path}.${randomBytes(6).toString("hex")}`;
  try {
    mkdirSync(dataDir, { recursive: true, mode: 0o700 });
    writeFileSync(draft, `${secret}\n`, {
      mode: 0o600,
      flag: "wx",
      flush: true,
    });
    chmodSync(draft, 0o600);
    try {
      // Unlike a rename, a link never replaces the secret that another process made meanwhile.
      linkSync(draft, path);
    } catch (error) {
      if (errorCode(error) !== "EEXIST") throw error;
    }
    unlinkSync(draft);
  } catch (error) {
    throw new SyncError("unusable_setup", `cannot keep a secret in ${path}: is the directory writable?`, {
      cause: error,
    });
  }
  const kept = readSecret(dataDir);
  if (kept === null) throw new SyncError("internal", `the secret in ${path} vanished`);
  return kept;
}
