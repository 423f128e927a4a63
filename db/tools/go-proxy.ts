import { createDecipheriv, createHash } from "node:crypto";
import type { Database } from "../connection.ts";
import { keyArray, textArray } from "../text.ts";

const NONCE_BYTES = 12;
const TAG_BYTES = 16;

/** An access token as the Go proxy keeps it. */
export interface GoToken {
  hash: string;
  encrypted: string;
  lastSeenMs: number;
}

/** A device of the Go proxy. */
export interface GoDevice {
  userId: string;
  deviceId: string;
  /** null = it was never polled. */
  since: string | null;
  /** Oldest use first. */
  tokens: GoToken[];
  /** Changes that its client may not have: the last word for each user. */
  deviceLists: Map<string, "changed" | "left">;
}

/** A to-device message that its device has not acknowledged. */
export interface GoMessage {
  pos: number;
  userId: string;
  deviceId: string;
  text: string;
}

interface MessageRow {
  position: number;
  user_id: string;
  device_id: string;
  message: string;
}

/** What else the Go proxy keeps, and about how many rows of it; null = it has no such table. */
export type GoRest = { table: string; rows: number | null }[];

/** Tables without which nothing can be taken. */
const NEEDED = ["syncv3_sync2_devices", "syncv3_sync2_tokens", "syncv3_to_device_messages"] as const;
/** An older version keeps device lists elsewhere, in a form of its own. */
const DEVICE_LISTS = "syncv3_device_list_updates";
/** What the homeserver tells anew. */
const REST = [
  "syncv3_events",
  "syncv3_rooms",
  "syncv3_snapshots",
  "syncv3_account_data",
  "syncv3_receipts",
  "syncv3_receipts_private",
  "syncv3_unread",
  "syncv3_invites",
  "syncv3_spaces",
  "syncv3_device_data",
  "syncv3_txns",
] as const;

const LEFT = 2;

/** Of other roles' connections the type is not shown to everybody. */
const CLIENT = "client backend";

/** Who holds what is keyed by user and device, whatever the database sorts text by. */
const IN_ORDER = `order by user_id collate "C", device_id collate "C"`;

/** Opens the Go proxy's sealed tokens: hexadecimal nonce and AES-256-GCM, under the hash of its secret. */
export function goTokenOpener(secret: string): (encrypted: string) => string | null {
  const key = createHash("sha256").update(secret).digest();
  return (encrypted) => {
    const [nonceHex = "", sealedHex = "", ...rest] = encrypted.trim().split(/\s+/);
    const [nonce, sealed] = [Buffer.from(nonceHex, "hex"), Buffer.from(sealedHex, "hex")];
    if (rest.length > 0 || nonce.length !== NONCE_BYTES || sealed.length < TAG_BYTES) return null;
    const decipher = createDecipheriv("aes-256-gcm", key, nonce, { authTagLength: TAG_BYTES });
    decipher.setAuthTag(sealed.subarray(-TAG_BYTES));
    try {
      return Buffer.concat([decipher.update(sealed.subarray(0, -TAG_BYTES)), decipher.final()]).toString("utf8");
    } catch {
      return null;
    }
  };
}

/** Reads a database of the original Go proxy. Nothing in it is changed. */
export class GoProxyDatabase {
  readonly #db: Database;

  constructor(db: Database) {
    this.#db = db;
  }

  /** Tables that are needed and not there. */
  async missing(): Promise<string[]> {
    const present = await this.#present(NEEDED);
    return NEEDED.filter((table) => !present.has(table));
  }

  /** True when its last version was one that kept device lists in another form. */
  async isOlder(): Promise<boolean> {
    return !(await this.#present([DEVICE_LISTS])).has(DEVICE_LISTS);
  }

  /** Clients of this database that are not Glissade: the Go proxy, if it runs. */
  async otherClients(): Promise<number> {
    const [row] = await this.#db.query<{ n: number }>(
      `select count(*)::int4 as n from pg_stat_activity
       where datname = current_database() and pid <> pg_backend_pid() and usesysid is not null
         and coalesce(backend_type, '${CLIENT}') = '${CLIENT}'
         and application_name <> 'glissade' and application_name not like $1::text`,
      ["glissade %"],
    );
    return row?.n ?? 0;
  }

  async counts(): Promise<{ devices: number; tokens: number; toDevice: number }> {
    const [row] = await this.#db.query<{ devices: number; tokens: number; messages: number }>(
      `select (select count(*) from syncv3_sync2_devices)::int4 as devices,
         (select count(*) from syncv3_sync2_tokens)::int4 as tokens,
         (select count(*) from syncv3_to_device_messages)::int4 as messages`,
    );
    return { devices: row?.devices ?? 0, tokens: row?.tokens ?? 0, toDevice: row?.messages ?? 0 };
  }

  /** Some tokens, to try a secret on. */
  async sampleTokens(limit: number): Promise<string[]> {
    const rows = await this.#db.query<{ token_encrypted: string }>(
      "select token_encrypted from syncv3_sync2_tokens order by last_seen desc limit $1::int8",
      [limit],
    );
    return rows.map((row) => row.token_encrypted);
  }

  /** Rows of what is left behind, estimated where the table is large. */
  async rest(): Promise<GoRest> {
    const present = await this.#present(REST);
    const rest: GoRest = [];
    for (const table of REST) rest.push({ table, rows: present.has(table) ? await this.#rowsOf(table) : null });
    return rest;
  }

  /** The devices behind one, in order; with everything that is theirs but messages. */
  async devicesAfter(after: { userId: string; deviceId: string }, limit: number): Promise<GoDevice[]> {
    const rows = await this.#db.query<{ user_id: string; device_id: string; since: string | null }>(
      `select user_id, device_id, since from syncv3_sync2_devices
       where (user_id collate "C", device_id collate "C") > ($1::text, $2::text) ${IN_ORDER} limit $3::int8`,
      [after.userId, after.deviceId, limit],
    );
    const devices = rows.map<GoDevice>((row) => ({
      userId: row.user_id,
      deviceId: row.device_id,
      since: row.since === "" ? null : row.since,
      tokens: [],
      deviceLists: new Map(),
    }));
    const byKey = new Map(devices.map((device) => [keyOf(device.userId, device.deviceId), device]));
    for (const row of await this.#tokensOf(devices)) {
      const lastSeenMs = Math.max(0, Math.floor(row.last_seen_ms));
      byKey
        .get(keyOf(row.user_id, row.device_id))
        ?.tokens.push({ hash: row.token_hash, encrypted: row.token_encrypted, lastSeenMs });
    }
    for (const row of await this.#deviceListsOf(devices)) {
      byKey
        .get(keyOf(row.user_id, row.device_id))
        ?.deviceLists.set(row.target_user_id, row.target_state === LEFT ? "left" : "changed");
    }
    return devices;
  }

  /** Hands over the messages of these devices behind a position, so many at a time, oldest first: they are looked for once. */
  async eachMessagePage(
    devices: readonly Pick<GoDevice, "userId" | "deviceId">[],
    after: number,
    limit: number,
    take: (messages: GoMessage[]) => Promise<void>,
  ): Promise<void> {
    await this.#db.transaction(async (query) => {
      await query(
        `declare waiting no scroll cursor for
         select position::int8, user_id, device_id, message from syncv3_to_device_messages
         where position > $1::int8 and (user_id, device_id) in (select * from unnest($2::text[], $3::text[]))
         order by position`,
        [after, ...ownersOf(devices)],
      );
      for (let isLast = false; !isLast;) {
        const rows = await query<MessageRow>(`fetch ${limit} from waiting`);
        isLast = rows.length < limit;
        const messages = rows.map<GoMessage>((row) => ({
          pos: row.position,
          userId: row.user_id,
          deviceId: row.device_id,
          text: row.message,
        }));
        if (messages.length > 0) await take(messages);
      }
    });
  }

  #tokensOf(
    devices: readonly GoDevice[],
  ): Promise<
    { token_hash: string; token_encrypted: string; user_id: string; device_id: string; last_seen_ms: number }[]
  > {
    return this.#db.query(
      `select token_hash, token_encrypted, user_id, device_id,
         coalesce(extract(epoch from last_seen) * 1000, 0)::int8 as last_seen_ms
       from syncv3_sync2_tokens where (user_id, device_id) in (select * from unnest($1::text[], $2::text[]))
       order by last_seen nulls first, token_hash`,
      ownersOf(devices),
    );
  }

  /** What was sent and is not known to have arrived, then what was not sent: of each user the last row counts. */
  #deviceListsOf(
    devices: readonly GoDevice[],
  ): Promise<{ user_id: string; device_id: string; target_user_id: string; target_state: number }[]> {
    return this.#db.query(
      `select user_id, device_id, target_user_id, target_state::int4 as target_state from ${DEVICE_LISTS}
       where (user_id, device_id) in (select * from unnest($1::text[], $2::text[])) order by bucket desc`,
      ownersOf(devices),
    );
  }

  async #present(tables: readonly string[]): Promise<Set<string>> {
    const rows = await this.#db.query<{ name: string }>(
      "select name from unnest($1::text[]) n (name) where to_regclass(name) is not null",
      [keyArray(tables)],
    );
    return new Set(rows.map(({ name }) => name));
  }

  async #rowsOf(table: string): Promise<number> {
    const [estimate] = await this.#db.query<{ n: number }>(
      "select reltuples::int8 as n from pg_class where oid = to_regclass($1::text)",
      [table],
    );
    if (estimate !== undefined && estimate.n > ESTIMATE_FROM_ROWS) return estimate.n;
    const [row] = await this.#db.query<{ n: number }>(`select count(*) as n from ${table}`);
    return row?.n ?? 0;
  }
}

/** Counting fewer takes no time. */
const ESTIMATE_FROM_ROWS = 1_000_000;

const keyOf = (userId: string, deviceId: string): string => `${userId}\0${deviceId}`;
/** As they are: overlong ids are not shortened there. */
const ownersOf = (devices: readonly Pick<GoDevice, "userId" | "deviceId">[]): [string, string] => [
  textArray(devices.map(({ userId }) => userId)),
  textArray(devices.map(({ deviceId }) => deviceId)),
];
