import { createCipheriv, createHash, randomBytes } from "node:crypto";
import type { Database } from "#db/connection.ts";

/** A device as the Go proxy knows it. */
export interface GoProxyDevice {
  userId: string;
  deviceId: string;
  accessToken: string;
  since: string;
}

const TABLES = `
  create table syncv3_sync2_devices (
    user_id text not null, device_id text not null, since text not null, unique (user_id, device_id));
  create table syncv3_sync2_tokens (
    token_hash text not null primary key, token_encrypted text not null, user_id text not null,
    device_id text not null, last_seen timestamp with time zone not null);
  create sequence syncv3_to_device_messages_seq;
  create table syncv3_to_device_messages (
    position bigint not null primary key default nextval('syncv3_to_device_messages_seq'), user_id text not null,
    device_id text not null, event_type text not null, sender text not null, message text not null,
    unique_key text, action smallint default 0);
  create table syncv3_to_device_ack_pos (
    user_id text not null, device_id text not null, unack_pos bigint not null, unique (user_id, device_id));
  create table syncv3_device_list_updates (
    user_id text not null, device_id text not null, target_user_id text not null, target_state smallint not null,
    bucket smallint not null, unique (user_id, device_id, target_user_id, bucket));
  create table syncv3_device_data (
    user_id text not null, device_id text not null, data bytea not null, unique (user_id, device_id));
  create table syncv3_rooms (
    room_id text not null primary key, current_snapshot_id bigint not null, latest_nid bigint not null,
    is_encrypted bool not null default false, upgraded_room_id text, predecessor_room_id text, type text);
  create table syncv3_events (
    event_nid bigint primary key, event_id text not null unique, before_state_snapshot_id bigint not null default 0,
    event_replaces_nid bigint not null default 0, room_id text not null, event_type text not null,
    state_key text not null, prev_batch text, membership text, is_state bool not null,
    missing_previous bool not null default false, event bytea not null);
  create table syncv3_snapshots (
    snapshot_id bigint primary key, room_id text not null, events bigint[] not null, membership_events bigint[] not null);
  create table syncv3_account_data (
    id bigint primary key, user_id text not null, room_id text not null, type text not null, data bytea not null)`;

/** A database as the Go proxy leaves it, made from what is known of its tables. */
export class GoProxyFixture {
  readonly #db: Database;
  readonly #key: Buffer;

  private constructor(db: Database, secret: string) {
    this.#db = db;
    this.#key = createHash("sha256").update(secret).digest();
  }

  static async create(db: Database, secret: string): Promise<GoProxyFixture> {
    await db.query(TABLES);
    return new GoProxyFixture(db, secret);
  }

  async addDevice({ userId, deviceId, accessToken, since }: GoProxyDevice, lastSeenMs = Date.now()): Promise<void> {
    await this.#db.query("insert into syncv3_sync2_devices values ($1::text, $2::text, $3::text)", [
      userId,
      deviceId,
      since,
    ]);
    await this.addToken({ userId, deviceId, accessToken }, lastSeenMs);
  }

  async addToken(
    { userId, deviceId, accessToken }: Omit<GoProxyDevice, "since">,
    lastSeenMs: number,
    encrypted = this.encrypted(accessToken),
  ): Promise<void> {
    await this.#db.query(
      `insert into syncv3_sync2_tokens values ($1::text, $2::text, $3::text, $4::text, to_timestamp($5::int8 / 1000.0))`,
      [createHash("sha256").update(accessToken).digest("hex"), encrypted, userId, deviceId, lastSeenMs],
    );
  }

  async addMessage({ userId, deviceId }: Pick<GoProxyDevice, "userId" | "deviceId">, message: object): Promise<number> {
    const [row] = await this.#db.query<{ position: number }>(
      `insert into syncv3_to_device_messages (user_id, device_id, event_type, sender, message)
       values ($1::text, $2::text, 'm.test', '@x:y', $3::text) returning position`,
      [userId, deviceId, JSON.stringify(message)],
    );
    return row?.position ?? 0;
  }

  async addDeviceList(
    { userId, deviceId }: Pick<GoProxyDevice, "userId" | "deviceId">,
    target: string,
    state: "changed" | "left",
    bucket: "new" | "sent",
  ): Promise<void> {
    await this.#db.query(
      "insert into syncv3_device_list_updates values ($1::text, $2::text, $3::text, $4::int2, $5::int2)",
      [userId, deviceId, target, state === "changed" ? 1 : 2, bucket === "new" ? 1 : 2],
    );
  }

  async moveSince({ userId, deviceId, since }: Omit<GoProxyDevice, "accessToken">): Promise<void> {
    await this.#db.query(
      "update syncv3_sync2_devices set since = $3::text where user_id = $1::text and device_id = $2::text",
      [userId, deviceId, since],
    );
  }

  /** So many events in rooms of a hundred, and so many other devices with some messages and lists each. */
  async fill(events: number, devices: number): Promise<void> {
    await this.#db.query(
      `insert into syncv3_rooms (room_id, current_snapshot_id, latest_nid)
       select '!r' || r || ':old', r, r * 100 from generate_series(1, greatest(1, ${events} / 100)) r;
       insert into syncv3_events (event_nid, event_id, room_id, event_type, state_key, is_state, event)
       select n, '$e' || n, '!r' || (n / 100) || ':old', 'm.room.message', '', false,
         convert_to('{"event_id":"$e' || n || '","content":{"body":"' || repeat('x', 200) || '"}}', 'UTF8')
       from generate_series(1, ${events}) n;
       insert into syncv3_sync2_devices
       select '@user' || n || ':old', 'DEV', 's' || n || '_0' from generate_series(1, ${devices}) n;
       insert into syncv3_to_device_messages (user_id, device_id, event_type, sender, message)
       select '@user' || n || ':old', 'DEV', 'm.test', '@x:y', '{"type":"m.test","content":{"n":' || m || '}}'
       from generate_series(1, ${devices}) n, generate_series(1, 5) m;
       insert into syncv3_device_list_updates
       select '@user' || n || ':old', 'DEV', '@other' || m || ':old', 1, 1
       from generate_series(1, ${devices}) n, generate_series(1, 3) m;
       analyze`,
    );
  }

  /** Nonce and ciphertext in hexadecimal. */
  encrypted(accessToken: string): string {
    const nonce = randomBytes(12);
    const cipher = createCipheriv("aes-256-gcm", this.#key, nonce);
    const sealed = Buffer.concat([cipher.update(accessToken, "utf8"), cipher.final(), cipher.getAuthTag()]);
    return `${nonce.toString("hex")} ${sealed.toString("hex")}`;
  }
}
