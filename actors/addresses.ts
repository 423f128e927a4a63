import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Address } from "#actors/runtime/actor.ts";
import type { HostId } from "#actors/runtime/placement.ts";

/** Keys are JSON arrays: device and connection ids may hold any character. */
export const pollerAddress = (userId: UserId, deviceId: DeviceId): Address => ({
  kind: "poller",
  key: JSON.stringify([userId, deviceId]),
  shard: userId,
});
export const userAddress = (userId: UserId): Address => ({ kind: "user", key: userId, shard: userId });
export const connectionAddress = (userId: UserId, deviceId: DeviceId, connId: ConnId): Address => ({
  kind: "connection",
  key: JSON.stringify([userId, deviceId, connId]),
  shard: userId,
});
/** Of a request that no connection remembers: it is served by itself. */
export const looseAddress = (userId: UserId, deviceId: DeviceId, connId: ConnId, requestId: number): Address => ({
  kind: "connection",
  key: JSON.stringify([userId, deviceId, connId, requestId]),
  shard: userId,
});
/** True for an address that `looseAddress` made. */
export const isLooseAddress = ({ key }: Address): boolean => (JSON.parse(key) as unknown[]).length > 3;
export const directoryAddress = (hostIndex: number): Address => ({
  kind: "directory",
  key: String(hostIndex),
  shard: String(hostIndex),
});
/** Every host has one, which tells operators what goes on there. */
export const inspectorAddress = (host: HostId): Address => ({ kind: "inspector", key: "", shard: host });
/** Lives beside ingest, of whose news it is told. */
export const REPAIR: Address = { kind: "repair", key: "", shard: "" };
export const INGEST: Address = { kind: "ingest", key: "", shard: "" };
export const GATEWAY: Address = { kind: "gateway", key: "", shard: "" };
export const SUPERVISOR: Address = { kind: "supervisor", key: "", shard: "" };
