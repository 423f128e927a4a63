import type { Address } from "./actor.ts";

/** What a host is for; a role other than `poller` and `sync` has exactly one host. */
export type HostRole = "main" | "store" | "ingest" | "poller" | "sync";

/** `role:index`, as in logs and metrics. */
export type HostId = `${HostRole}:${number}`;

/** How many hosts of the sharded roles there are; fixed for the life of a process. */
export interface Topology {
  poller: number;
  sync: number;
}

export const hostId = (role: HostRole, index: number): HostId => `${role}:${index}`;

/** The two halves of a host's id. */
export function splitHostId(id: HostId): { role: HostRole; index: number } {
  const colon = id.indexOf(":");
  return { role: id.slice(0, colon) as HostRole, index: Number(id.slice(colon + 1)) };
}

/** FNV-1a with a final mix: the same on every host, and even for ids that differ in one digit. */
export function shardHash(shard: string): number {
  let hash = 0x811c9dc5;
  for (let i = 0; i < shard.length; i++) hash = Math.imul(hash ^ shard.charCodeAt(i), 0x01000193);
  hash = Math.imul(hash ^ (hash >>> 16), 0x85ebca6b);
  hash = Math.imul(hash ^ (hash >>> 13), 0xc2b2ae35);
  return (hash ^ (hash >>> 16)) >>> 0;
}

const shardIndex = (shard: string, count: number): number => (count === 1 ? 0 : shardHash(shard) % count);

/** Where an address lives: computed, never stored, the same on every host. */
export function placeOf(address: Address, topology: Topology): HostId {
  switch (address.kind) {
    case "poller":
      return hostId("poller", shardIndex(address.shard, topology.poller));
    case "user":
    case "connection":
      return hostId("sync", shardIndex(address.shard, topology.sync));
    case "directory":
      return hostId("sync", Number(address.shard));
    case "ingest":
    case "repair":
      return "ingest:0";
    case "gateway":
    case "supervisor":
      return "main:0";
    case "probe":
    case "inspector":
      return address.shard as HostId;
  }
}
