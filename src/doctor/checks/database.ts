import type { DatabaseFacts } from "#src/ports/doctor.ts";
import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";

const MIB = 1024 * 1024;
const GIB = 1024 * MIB;
/** PostgreSQL and PGlite stop when there is nothing left, and compacting needs room. */
const LITTLE_BYTES = 2 * GIB;
const NOTHING_BYTES = 256 * MIB;
const OLDEST_VERSION = 13;

/** The database of this configuration, as far as it could be looked at. */
export type DatabaseSeen =
  | { kind: "postgres"; facts: DatabaseFacts; wantedConnections: number; freeBytes: number | null }
  | { kind: "embedded"; dataDir: string; freeBytes: number | null; secretMode: number | null }
  | { kind: "away"; reason: string };

/** Whether it keeps what it is given, and has room for more. */
export function judgeDatabase(seen: DatabaseSeen): readonly Finding[] {
  switch (seen.kind) {
    case "away": {
      const advice =
        "compare SYNCV3_DB with what psql takes, and see whether PostgreSQL runs and lets Glissade's user in (pg_hba.conf)";
      return [finding("database", "fail", `cannot be reached: ${seen.reason}`, advice)];
    }
    case "embedded":
      return orGood(
        [...judgeSpace(seen.freeBytes, seen.dataDir), ...judgeSecret(seen.secretMode)],
        "database",
        `embedded, in ${seen.dataDir}, ${spaceText(seen.freeBytes)}`,
      );
    case "postgres": {
      const { facts, freeBytes } = seen;
      const findings = [
        ...judgeKind(facts),
        ...judgeDurability(facts),
        ...judgeConnections(facts, seen.wantedConnections),
        ...judgeSpace(freeBytes, "the database's disk"),
      ];
      const text = `PostgreSQL ${facts.version}, ${facts.encoding}, ${sizeText(facts.sizeBytes)}, ${spaceText(freeBytes)}`;
      return orGood(findings, "database", text);
    }
  }
}

function judgeKind(facts: DatabaseFacts): Finding[] {
  const findings: Finding[] = [];
  if (Math.floor(facts.versionNumber / 10_000) < OLDEST_VERSION) {
    findings.push(
      finding("database", "fail", `PostgreSQL ${facts.version} is too old`, `upgrade it to ${OLDEST_VERSION} or newer`),
    );
  }
  if (facts.encoding !== "UTF8") {
    const advice = "create another one: createdb --encoding=UTF8 --template=template0 …";
    findings.push(
      finding("database", "fail", `its encoding is ${facts.encoding}: not every message can be stored`, advice),
    );
  }
  if (facts.isCollationOutdated) {
    const text = `the collation ${facts.collation} has changed with the operating system: indexes may be out of order`;
    const advice =
      "reindexdb, then ALTER DATABASE … REFRESH COLLATION VERSION; a database with LC_COLLATE=C has no such worries";
    findings.push(finding("database", "warn", text, advice));
  }
  return findings;
}

function judgeDurability({ settings }: DatabaseFacts): Finding[] {
  const findings: Finding[] = [];
  if (settings["fsync"] === "off") {
    findings.push(
      finding(
        "database",
        "fail",
        "fsync is off: a power cut may cost the whole database",
        "fsync = on in postgresql.conf",
      ),
    );
  }
  if (settings["synchronous_commit"] === "off") {
    const text =
      "synchronous_commit is off: after a crash, messages for devices are lost, keys among them: the homeserver has deleted them by then";
    const advice = "synchronous_commit = on in postgresql.conf, or ALTER ROLE … SET synchronous_commit = on";
    findings.push(finding("database", "fail", text, advice));
  }
  if (settings["full_page_writes"] === "off") {
    const text = "full_page_writes is off: a power cut may damage pages";
    findings.push(
      finding("database", "warn", text, "full_page_writes = on, unless the file system never tears pages (ZFS)"),
    );
  }
  return findings;
}

function judgeConnections({ settings, otherConnections }: DatabaseFacts, wanted: number): Finding[] {
  const most = Number(settings["max_connections"] ?? Number.NaN);
  const reserved = Number(settings["superuser_reserved_connections"] ?? 0);
  if (Number.isNaN(most)) return [];
  const left = most - reserved - otherConnections;
  if (wanted <= left) return [];
  const text = `Glissade opens up to ${wanted} connections; of max_connections = ${most}, others use ${otherConnections} and ${reserved} are reserved`;
  return [finding("database", "warn", text, "raise max_connections, or set SYNCV3_MAX_DB_CONN to what may be used")];
}

function judgeSpace(freeBytes: number | null, where: string): Finding[] {
  if (freeBytes === null || freeBytes >= LITTLE_BYTES) return [];
  const level = freeBytes < NOTHING_BYTES ? "fail" : "warn";
  return [
    finding(
      "database",
      level,
      `only ${sizeText(freeBytes)} are free on ${where}`,
      "make room, or move it to a larger disk",
    ),
  ];
}

function judgeSecret(mode: number | null): Finding[] {
  if (mode === null || (mode & 0o077) === 0) return [];
  return [
    finding(
      "database",
      "fail",
      "others on this machine can read the secret that seals access tokens",
      "chmod 600 on the file secret in SYNCV3_DATA",
    ),
  ];
}

const spaceText = (bytes: number | null): string => (bytes === null ? "free space unknown" : `${sizeText(bytes)} free`);

function sizeText(bytes: number): string {
  return bytes >= GIB ? `${(bytes / GIB).toFixed(1)} GiB` : `${Math.round(bytes / MIB)} MiB`;
}
