import type { UpstreamSummary } from "#src/homeserver/upstream-watch.ts";
import type { ConnId, DeviceId, UserId } from "#src/protocol/ids.ts";
import type { ConnectionState, ConnectionView, HostView, Page, PollerState, PollerView } from "./api.ts";

/** Which part of a list, of the items whose members have these values. */
export interface ListQuery {
  after: string | null;
  limit: number;
  where: Record<string, string>;
}

/** A host with what it says of the homeserver's calls. */
export interface DescribedHost extends HostView {
  upstream: UpstreamSummary | null;
}

/** Through which operators reach hosts and actors. Hosts that do not answer are left out of what is shown. */
export interface Operator {
  /** Ids of all hosts, main included. */
  readonly hosts: readonly string[];
  describeHosts(): Promise<DescribedHost[]>;
  pollers(query: ListQuery): Promise<Page<PollerView>>;
  connections(query: ListQuery): Promise<Page<ConnectionView>>;
  countPollers(): Promise<Record<PollerState, number>>;
  countConnections(): Promise<Record<ConnectionState, number>>;
  /** Storage says whether the device is paused: its poller looks. */
  pauseChanged(userId: UserId, deviceId: DeviceId, isPaused: boolean): void;
  dropConnection(userId: UserId, deviceId: DeviceId, connId: ConnId): Promise<void>;
  /** A `.cpuprofile`. */
  profileCpu(host: string, seconds: number): Promise<Uint8Array<ArrayBuffer>>;
  /** A `.heapsnapshot`. */
  snapshotHeap(host: string): Promise<Uint8Array<ArrayBuffer>>;
}
