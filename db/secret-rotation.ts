import type { Database, Query } from "./connection.ts";
import { type SecretKeys, claimSecret, openToken, sealToken } from "./secrets.ts";
import { keyArray, packBytes, intArray } from "./text.ts";

const TOKENS_AT_ONCE = 500;

/** What came of it that another secret was used before. */
export interface Rotation {
  /** Tokens sealed anew just now. */
  resealed: number;
  /** Tokens that neither secret opens. */
  damaged: number;
}

/**
 * Makes sure that the secret is that of the database. Where that is `before`, all tokens are sealed anew, in one transaction with the
 * note of which secret holds: a crash leaves all as it was. Null when nothing had to be done. `onProgress` is told how many tokens are
 * done, and how many there are.
 */
export async function settleSecret(
  db: Database,
  keys: SecretKeys,
  before: SecretKeys | null,
  nowMs: number,
  onProgress: (resealed: number, total: number) => void = () => undefined,
): Promise<Rotation | null> {
  const rotation = before === null ? null : await rotate(db, keys, before, nowMs, onProgress);
  await claimSecret(db, keys);
  return rotation;
}

async function rotate(
  db: Database,
  keys: SecretKeys,
  before: SecretKeys,
  nowMs: number,
  onProgress: (resealed: number, total: number) => void,
): Promise<Rotation | null> {
  const [known] = await db.query<{ secret_check: string | null }>("select secret_check from meta");
  if (known?.secret_check !== before.check || before.check === keys.check) return null;
  const [tokens] = await db.query<{ n: number }>("select count(*) as n from tokens");
  const total = tokens?.n ?? 0;
  onProgress(0, total);
  return db.transaction(async (query) => {
    const [held] = await query<{ secret_check: string }>("select secret_check from meta for update");
    if (held?.secret_check !== before.check) return null;
    const rotation: Rotation = { resealed: 0, damaged: 0 };
    for (let after: string | null = ""; after !== null;) {
      after = await resealPage(query, after, keys, before, rotation);
      onProgress(rotation.resealed + rotation.damaged, total);
    }
    await query("update meta set secret_check = $1::text, secret_rotated_ms = $2::int8", [keys.check, nowMs]);
    return rotation;
  });
}

/** Returns where the next page begins; null after the last. */
async function resealPage(
  query: Query,
  after: string,
  keys: SecretKeys,
  before: SecretKeys,
  rotation: Rotation,
): Promise<string | null> {
  const rows = await query<{ hash: string; sealed: Uint8Array }>(
    "select hash, sealed from tokens where hash > $1::text order by hash limit $2::int8",
    [after, TOKENS_AT_ONCE],
  );
  const resealed = rows.flatMap(({ hash, sealed }) => {
    const accessToken = openToken(before.tokenKey, sealed, hash);
    return accessToken === null ? [] : [{ hash, sealed: sealToken(keys.tokenKey, accessToken, hash) }];
  });
  const { blob, offsets, lengths } = packBytes(resealed.map(({ sealed }) => sealed));
  await query(
    `update tokens t set sealed = substring($1::bytea from n.start for n.length)
     from unnest($2::text[], $3::int4[], $4::int4[]) n (hash, start, length) where t.hash = n.hash`,
    [blob, keyArray(resealed.map(({ hash }) => hash)), intArray(offsets), intArray(lengths)],
  );
  rotation.resealed += resealed.length;
  rotation.damaged += rows.length - resealed.length;
  return rows.length < TOKENS_AT_ONCE ? null : (rows.at(-1)?.hash ?? null);
}

/** When the secret was last changed, and connections that have not been used since: their positions are sealed with the one before. */
export async function connectionsBeforeRotation(db: Database): Promise<{ atMs: number; connections: number } | null> {
  const [row] = await db.query<{ at: number | null; n: number }>(
    `select m.secret_rotated_ms as at,
       (select count(*) from connections c where c.last_used_ms < m.secret_rotated_ms)::int8 as n from meta m`,
  );
  return row === undefined || row.at === null ? null : { atMs: row.at, connections: row.n };
}
