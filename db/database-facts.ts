import type { DatabaseFacts } from "#src/ports/doctor.ts";
import type { Database } from "./connection.ts";

const SETTINGS = [
  "fsync",
  "synchronous_commit",
  "full_page_writes",
  "max_connections",
  "superuser_reserved_connections",
];
/** Since this version a database remembers by which version of its collation it was made. */
const KNOWS_COLLATION_VERSIONS = 150_000;

interface Row {
  version: string;
  version_number: number;
  encoding: string;
  collation: string;
  size_bytes: number;
  others: number;
}

/** Looks at the database as it is: nothing is changed, and no rights are needed beyond connecting. */
export async function readDatabaseFacts(db: Pick<Database, "query">): Promise<DatabaseFacts> {
  const [row] = await db.query<Row>(
    `select current_setting('server_version') as version,
            current_setting('server_version_num')::int as version_number,
            pg_encoding_to_char(encoding) as encoding, datcollate as collation,
            pg_database_size(oid) as size_bytes,
            (select sum(numbackends)::int from pg_stat_database)
              - (select count(*)::int from pg_stat_activity
                  where application_name like 'glissade%' and datname = current_database()) as others
       from pg_database where datname = current_database()`,
  );
  if (row === undefined) throw new Error("the database does not know itself");
  const settings = await db.query<{ name: string; setting: string }>(
    `select name, setting from pg_settings where name in (${SETTINGS.map((name) => `'${name}'`).join(", ")})`,
  );
  return {
    version: row.version.split(" ")[0] ?? row.version,
    versionNumber: row.version_number,
    encoding: row.encoding,
    collation: row.collation,
    isCollationOutdated: row.version_number >= KNOWS_COLLATION_VERSIONS && (await isCollationOutdated(db)),
    settings: Object.fromEntries(settings.map(({ name, setting }) => [name, setting])),
    otherConnections: row.others,
    sizeBytes: row.size_bytes,
    dataDirectory: await dataDirectory(db),
  };
}

async function isCollationOutdated(db: Pick<Database, "query">): Promise<boolean> {
  const [row] = await db.query<{ is_outdated: boolean | null }>(
    `select datcollversion is not null and datcollversion <> pg_database_collation_actual_version(oid) as is_outdated
       from pg_database where datname = current_database()`,
  );
  return row?.is_outdated === true;
}

/** Only some roles see it, and the others see no row. */
async function dataDirectory(db: Pick<Database, "query">): Promise<string | null> {
  const [row] = await db.query<{ setting: string }>("select setting from pg_settings where name = 'data_directory'");
  return row?.setting ?? null;
}
