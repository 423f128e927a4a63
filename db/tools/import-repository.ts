import type { Database, Query } from "../connection.ts";
import { sealToken } from "../secrets.ts";
import { boolArray, intArray, keyArray, keyText, packBytes, textArray } from "../text.ts";
import type { WriterPlace } from "./exclusive.ts";
import type { GoDevice, GoMessage, GoProxyDatabase, GoToken } from "./go-proxy.ts";
import { type ImportPlan, type KnownDevice, ROOMS_DUE, planImport } from "./import-plan.ts";

/** Devices of one transaction: what a kill can undo. */
const DEVICES_AT_ONCE = 100;
/** A message has some 64 KB at most. */
const MESSAGES_AT_ONCE = 500;

/** What was taken so far, and what could not be. */
export interface ImportTally {
  devices: number;
  /** Of these, those that were here before and needed nothing. */
  unchanged: number;
  tokens: number;
  toDevice: number;
  deviceLists: number;
  /** Sealed with another secret, or damaged. */
  unreadableTokens: number;
  /** No JSON object, as no client could read it. */
  unreadableMessages: number;
  /** Devices without a user or device id. */
  namelessDevices: number;
}

/** How an import is done. */
export interface ImportOptions {
  source: GoProxyDatabase;
  /** null = there is none yet, which is looked at only. */
  target: Database | null;
  /** null = only look what would be taken. */
  writer: WriterPlace | null;
  openToken: (encrypted: string) => string | null;
  /** Key of our own seals. */
  tokenKey: Uint8Array;
  onProgress: (tally: ImportTally) => void;
}

interface PlannedDevice {
  device: GoDevice;
  plan: ImportPlan;
  /** The newest message that is taken. */
  lastPos: number;
  takenMessages: number;
  /** Those that are known here are not taken again. */
  tokens: readonly GoToken[];
}

interface KnownRow {
  user_id: string;
  device_id: string;
  since: string | null;
  rooms_due: number | null;
  imported_pos: number | null;
  imported_since: string | null;
  tokens: string;
}

const keyOf = ({ userId, deviceId }: { userId: string; deviceId: string }): string =>
  `${keyText(userId)}\0${keyText(deviceId)}`;

/** Takes over devices of a Go proxy's database page by page: each page, and with it each device, whole or not at all. */
export class DeviceImport {
  readonly #options: ImportOptions;
  readonly #tally: ImportTally = {
    devices: 0,
    unchanged: 0,
    tokens: 0,
    toDevice: 0,
    deviceLists: 0,
    unreadableTokens: 0,
    unreadableMessages: 0,
    namelessDevices: 0,
  };

  constructor(options: ImportOptions) {
    this.#options = options;
  }

  async run(): Promise<ImportTally> {
    const { source, target, writer, onProgress } = this.#options;
    let after = { userId: "", deviceId: "" };
    for (;;) {
      const page = await source.devicesAfter(after, DEVICES_AT_ONCE);
      const last = page.at(-1);
      if (last === undefined) return this.#tally;
      after = last;
      const named = page.filter(({ userId, deviceId }) => userId !== "" && deviceId !== "");
      this.#tally.namelessDevices += page.length - named.length;
      if (writer === null || target === null) await this.#look(target, named);
      else await target.transaction((query) => this.#take(query, writer, named));
      onProgress(this.#tally);
    }
  }

  async #look(target: Database | null, devices: readonly GoDevice[]): Promise<void> {
    const planned = await this.#plan(target === null ? null : (...statement) => target.query(...statement), devices);
    for (const one of planned) {
      this.#openTokens(one);
      if (one.plan.takesLists) this.#tally.deviceLists += one.device.deviceLists.size;
    }
    await this.#eachMessagePage(planned, async () => undefined);
    this.#count(planned);
  }

  async #take(query: Query, writer: WriterPlace, devices: readonly GoDevice[]): Promise<void> {
    await writer.advance(query, 0);
    const planned = await this.#plan(query, devices);
    await this.#saveDevices(query, planned);
    await this.#saveTokens(query, planned);
    await this.#saveDeviceLists(query, writer, planned);
    await this.#eachMessagePage(planned, (messages) => this.#saveMessages(query, writer, messages));
    await noteImported(query, planned);
    this.#count(planned);
  }

  async #plan(query: Query | null, devices: readonly GoDevice[]): Promise<PlannedDevice[]> {
    const known = query === null ? new Map<string, KnownDevice>() : await knownDevices(query, devices);
    return devices.map((device) => {
      const here = known.get(keyOf(device)) ?? null;
      const plan = planImport(here, device);
      const tokens = plan.takesTokens ? device.tokens.filter(({ hash }) => here?.tokens.has(hash) !== true) : [];
      return { device, plan, tokens, lastPos: plan.messagesAfter, takenMessages: 0 };
    });
  }

  #count(planned: readonly PlannedDevice[]): void {
    for (const { device, plan, takenMessages } of planned) {
      const hasNews = takenMessages > 0 || plan.takesSince || (plan.takesLists && device.deviceLists.size > 0);
      if (plan.kind === "new" || hasNews) this.#tally.devices += 1;
      else this.#tally.unchanged += 1;
    }
  }

  #openTokens({
    device,
    tokens,
  }: PlannedDevice): { hash: string; accessToken: string; lastSeenMs: number; owner: GoDevice }[] {
    const opened = tokens.flatMap(({ hash, encrypted, lastSeenMs }) => {
      const accessToken = this.#options.openToken(encrypted);
      return accessToken === null ? [] : [{ hash, accessToken, lastSeenMs, owner: device }];
    });
    this.#tally.tokens += opened.length;
    this.#tally.unreadableTokens += tokens.length - opened.length;
    return opened;
  }

  async #saveDevices(query: Query, planned: readonly PlannedDevice[]): Promise<void> {
    await query(
      `insert into devices as d (user_id, device_id, since, rooms_due)
       select user_id, device_id, since, case when since is null then 0 else ${ROOMS_DUE} end
       from unnest($1::text[], $2::text[], $3::text[]) n (user_id, device_id, since)
       on conflict (user_id, device_id) do update set
         since = coalesce(excluded.since, d.since),
         rooms_due = case when excluded.since is null then d.rooms_due else excluded.rooms_due end`,
      [...owners(planned.map(({ device }) => device)), textArray(planned.map(sinceOf))],
    );
  }

  async #saveTokens(query: Query, planned: readonly PlannedDevice[]): Promise<void> {
    const tokens = planned.flatMap((one) => this.#openTokens(one));
    if (tokens.length === 0) return;
    const { tokenKey } = this.#options;
    const { blob, offsets, lengths } = packBytes(
      tokens.map(({ hash, accessToken }) => sealToken(tokenKey, accessToken, hash)),
    );
    // Serial numbers follow the last use: the token used last is the one that is polled with.
    await query(
      `insert into tokens (hash, user_id, device_id, last_seen_ms, sealed)
       select hash, user_id, device_id, last_seen_ms, substring($5::bytea from start for length)
       from unnest($1::text[], $2::text[], $3::text[], $4::int8[], $6::int4[], $7::int4[])
         with ordinality n (hash, user_id, device_id, last_seen_ms, start, length, place)
       order by place on conflict (hash) do nothing`,
      [
        keyArray(tokens.map(({ hash }) => hash)),
        ...owners(tokens.map(({ owner }) => owner)),
        intArray(tokens.map(({ lastSeenMs }) => lastSeenMs)),
        blob,
        intArray(offsets),
        intArray(lengths),
      ],
    );
  }

  async #saveDeviceLists(query: Query, writer: WriterPlace, planned: readonly PlannedDevice[]): Promise<void> {
    const rows = planned.flatMap(({ device, plan }) =>
      plan.takesLists ? [...device.deviceLists].map(([target, change]) => ({ owner: device, target, change })) : [],
    );
    if (rows.length === 0) return;
    const last = await writer.advance(query, rows.length);
    await query(
      `insert into device_lists as d (user_id, device_id, target, has_left, pos)
       select * from unnest($1::text[], $2::text[], $3::text[], $4::bool[], $5::int8[])
       on conflict (user_id, device_id, target) do update set
         has_left = d.has_left and excluded.has_left, pos = excluded.pos`,
      [
        ...owners(rows.map(({ owner }) => owner)),
        keyArray(rows.map(({ target }) => target)),
        boolArray(rows.map(({ change }) => change === "left")),
        intArray(rows.map((_, index) => last - rows.length + 1 + index)),
      ],
    );
    this.#tally.deviceLists += rows.length;
  }

  /** Hands over the messages that are to be taken, some at a time, oldest first. */
  async #eachMessagePage(
    planned: readonly PlannedDevice[],
    take: (messages: readonly { message: GoMessage; one: PlannedDevice }[]) => Promise<void>,
  ): Promise<void> {
    if (planned.length === 0) return;
    const byKey = new Map(planned.map((one) => [keyOf(one.device), one]));
    const after = Math.min(...planned.map(({ plan }) => plan.messagesAfter));
    const devices = planned.map(({ device }) => device);
    await this.#options.source.eachMessagePage(devices, after, MESSAGES_AT_ONCE, async (page) => {
      const taken: { message: GoMessage; one: PlannedDevice }[] = [];
      for (const message of page) {
        const one = byKey.get(keyOf(message));
        if (one === undefined || message.pos <= one.plan.messagesAfter) continue;
        one.lastPos = message.pos;
        if (!isJsonObject(message.text)) {
          this.#tally.unreadableMessages += 1;
          continue;
        }
        one.takenMessages += 1;
        taken.push({ message, one });
      }
      if (taken.length > 0) await take(taken);
      this.#tally.toDevice += taken.length;
    });
  }

  async #saveMessages(
    query: Query,
    writer: WriterPlace,
    messages: readonly { message: GoMessage; one: PlannedDevice }[],
  ): Promise<void> {
    const movedCount = messages.filter(({ one }) => !one.plan.keepsPositions).length;
    let next = (await writer.advance(query, movedCount)) - movedCount + 1;
    const { blob, offsets, lengths } = packBytes(messages.map(({ message }) => Buffer.from(message.text)));
    await query(
      `insert into to_device (user_id, device_id, pos, json)
       select user_id, device_id, pos, substring($4::bytea from start for length)
       from unnest($1::text[], $2::text[], $3::int8[], $5::int4[], $6::int4[])
         n (user_id, device_id, pos, start, length)
       on conflict (user_id, device_id, pos) do nothing`,
      [
        ...owners(messages.map(({ message }) => message)),
        intArray(messages.map(({ message, one }) => (one.plan.keepsPositions ? message.pos : next++))),
        blob,
        intArray(offsets),
        intArray(lengths),
      ],
    );
  }
}

const owners = (rows: readonly { userId: string; deviceId: string }[]): [string, string] => [
  keyArray(rows.map(({ userId }) => userId)),
  keyArray(rows.map(({ deviceId }) => deviceId)),
];

const sinceOf = ({ device, plan }: PlannedDevice): string | null => (plan.takesSince ? device.since : null);

/** Columns that an older schema lacks are read as null. */
async function knownDevices(query: Query, devices: readonly GoDevice[]): Promise<Map<string, KnownDevice>> {
  const [table] = await query<{ exists: boolean }>("select to_regclass('devices') is not null as exists");
  if (table?.exists !== true) return new Map();
  const rows = await query<KnownRow>(
    `select q.user_id, q.device_id, d.since, (to_jsonb(d) ->> 'rooms_due')::int4 as rooms_due,
       (to_jsonb(d) ->> 'imported_pos')::int8 as imported_pos, to_jsonb(d) ->> 'imported_since' as imported_since,
       (select coalesce(json_agg(hash), '[]')::text from tokens t
        where t.user_id = d.user_id and t.device_id = d.device_id) as tokens
     from unnest($1::text[], $2::text[]) q (user_id, device_id)
     join devices d on d.user_id = q.user_id and d.device_id = q.device_id`,
    owners(devices),
  );
  return new Map(
    rows.map((row) => [
      // As they are stored already.
      `${row.user_id}\0${row.device_id}`,
      {
        since: row.since,
        roomsDue: row.rooms_due ?? 0,
        importedPos: row.imported_pos,
        importedSince: row.imported_since,
        tokens: new Set(JSON.parse(row.tokens) as string[]),
      },
    ]),
  );
}

/** From where a repeated import goes on, and up to where clients may name the other database's positions. */
async function noteImported(query: Query, planned: readonly PlannedDevice[]): Promise<void> {
  await query(
    `with noted as (
       update devices d set imported_pos = n.pos, imported_since = n.since
       from unnest($1::text[], $2::text[], $3::int8[], $4::text[]) n (user_id, device_id, pos, since)
       where d.user_id = n.user_id and d.device_id = n.device_id
     )
     update meta set imported_pos = greatest(imported_pos, $5::int8)`,
    [
      ...owners(planned.map(({ device }) => device)),
      intArray(planned.map(({ lastPos }) => lastPos)),
      textArray(planned.map(({ device }) => device.since)),
      Math.max(0, ...planned.filter(({ plan }) => plan.keepsPositions).map(({ lastPos }) => lastPos)),
    ],
  );
}

function isJsonObject(text: string): boolean {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value);
  } catch {
    return false;
  }
}
