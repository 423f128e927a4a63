import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";

/** Something an operator did, or tried to. */
export interface AuditEntry {
  atMs: number;
  action: string;
  target: string;
  /** The address it came from. */
  remote: string;
  /** `done`, or why not. */
  result: string;
}

/** What was skipped, without what it holds. */
export interface QuarantineEntry {
  id: number;
  seenMs: number;
  userId: string;
  deviceId: string;
  roomId: string | null;
  section: string;
  reason: string;
}

/** A repair that an operator asked for. */
export interface RepairEntry {
  id: number;
  kind: "room" | "user" | "all";
  target: string;
  askedMs: number;
  endedMs: number | null;
  total: number;
  done: number;
  failed: number;
}

/** Size of one table; `rows` is an estimate. */
export interface TableSize {
  name: string;
  rows: number;
  dataBytes: number;
  indexBytes: number;
  totalBytes: number;
}

/** What is stored of one device of a user. */
export interface StoredDevice {
  deviceId: DeviceId;
  tokens: number;
  lastSeenMs: number | null;
  tokenlessMs: number | null;
  pausedMs: number | null;
  hasSynced: boolean;
  toDeviceMessages: number;
  deviceListChanges: number;
  /** As the homeserver sent them. */
  otkCounts: string | null;
  fallbackKeyTypes: string | null;
  connections: { connId: ConnId; lastUsedMs: number }[];
}

/** What is stored of one user; counts of rooms by membership. */
export interface StoredUser {
  rooms: Record<string, number>;
  devices: StoredDevice[];
}

/** The database as operators look at it: nothing here is on anybody's way but theirs. */
export interface AdminStore {
  saveAudit(entry: AuditEntry): Promise<void>;
  /** The newest first, from before `before` on. */
  listAudit(before: number | null, limit: number): Promise<(AuditEntry & { id: number })[]>;
  listQuarantine(before: number | null, limit: number, userId: UserId | null): Promise<QuarantineEntry[]>;
  listRepairs(limit: number): Promise<RepairEntry[]>;
  sizes(): Promise<{ version: string; totalBytes: number; tables: TableSize[] }>;
  loadUser(userId: UserId): Promise<StoredUser>;
}
