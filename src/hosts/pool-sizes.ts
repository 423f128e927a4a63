import type { Config } from "#src/config.ts";

/** Connections of one host when the operator names no number: the writer and main need few, readers some more. */
const POOL = { main: 2, ingest: 2, poller: 2, sync: 4 } as const;
export type PoolRole = keyof typeof POOL;

type PoolConfig = Pick<Config, "syncHosts" | "pollerHosts" | "storage">;

/** Connections that one host may open. The operator's number is over all Workers; every one of them needs at least one. */
export function poolSize(role: PoolRole, { syncHosts, pollerHosts, storage }: PoolConfig): number {
  if (storage.maxConnections === null) return POOL[role];
  const wanted = POOL.main + POOL.ingest + POOL.poller * pollerHosts + POOL.sync * syncHosts;
  return Math.max(1, Math.min(POOL[role], Math.floor((POOL[role] * storage.maxConnections) / wanted)));
}

function pools(config: PoolConfig): number {
  const { syncHosts, pollerHosts } = config;
  const size = (role: PoolRole): number => poolSize(role, config);
  return size("main") + size("ingest") + size("poller") * pollerHosts + size("sync") * syncHosts;
}

/** The ingest host may hold one more, over which the database tells of requests; without it they are looked for. */
export const mayListen = (config: PoolConfig): boolean =>
  config.storage.maxConnections === null || pools(config) < config.storage.maxConnections;

/** Connections that all hosts together may open. */
export const poolTotal = (config: PoolConfig): number => pools(config) + (mayListen(config) ? 1 : 0);
