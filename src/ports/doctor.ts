/** What a doctor wants to know of a PostgreSQL database. */
export interface DatabaseFacts {
  /** `15.8`. */
  version: string;
  /** `150008`. */
  versionNumber: number;
  encoding: string;
  collation: string;
  /** The operating system sorts otherwise than when the database was made; false where PostgreSQL cannot tell. */
  isCollationOutdated: boolean;
  /** By name, those that were asked for and may be seen. */
  settings: Readonly<Record<string, string>>;
  /** Connections of the whole cluster that are not Glissade's on this database. */
  otherConnections: number;
  sizeBytes: number;
  /** Where its files are; null where only administrators may know. */
  dataDirectory: string | null;
}
