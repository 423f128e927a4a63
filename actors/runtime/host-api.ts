import type { HostId, HostRole, Topology } from "./placement.ts";

/** Plain data a host is made from. */
export interface HostInit {
  role: HostRole;
  index: number;
  /** Counts the lives of this host, from 1. */
  incarnation: number;
  topology: Topology;
  /** What the role's composition needs; structured-cloneable. */
  options: unknown;
}

/** A living host's answer to its heartbeat. */
export interface Pong {
  id: HostId;
  /** What its start is busy with; null when there is nothing to say. */
  busyWith: string | null;
}

/** All that crosses between main and a host besides envelopes; `deliver` is added where it is exposed. */
export interface HostApi {
  /** Composes the host; resolves when its actors could work, were they wired. */
  start(init: HostInit): Promise<void>;
  /** A direct way to another host; replaces an older one. */
  connect(peer: HostId, port: MessagePort): Promise<void>;
  /** The same for a host of the same thread, which joins the line of this number too. */
  join(peer: HostId, line: number): Promise<void>;
  /** That host died. */
  disconnect(peer: HostId): Promise<void>;
  /** Every peer there is is wired: actors may start by themselves. */
  begin(): Promise<void>;
  ping(): Promise<Pong>;
  /** Actors finish and stop; the host still answers, with `actor_stopped`. */
  drain(limitMs: number): Promise<void>;
  /** Pools and exporters are flushed and closed; the host may be terminated afterwards. */
  close(): Promise<void>;
  /** Whatever the host's telemetry collects, as plain data. */
  metrics(): Promise<unknown>;
}
