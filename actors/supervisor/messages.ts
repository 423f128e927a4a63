import type { SyncError } from "#src/errors.ts";
import type { HostId } from "#actors/runtime/placement.ts";
import type { Asked } from "#actors/runtime/actor.ts";

/** What others send to the supervisor. */
export type SupervisorCommand =
  /** Starts every host, in order; answered when all are up, rejected when one cannot be started. */
  | Asked<{ type: "launch-hosts" }, { ok: true }>
  /** From now on a host that ends is not brought back. */
  | { type: "begin-shutdown" }
  /** A thread stands still because somebody wants it to: until it is over, no host is held dead for being silent. */
  | { type: "stall-begun"; atMostMs: number }
  | { type: "stall-ended" }
  /** A host whose restart budget is spent asks to be killed. */
  | { type: "host-escalated"; host: HostId; incarnation: number; reason: string };

/** What the supervisor learns and sends to itself. */
export type SupervisorEvent =
  | { type: "hosts-launched" }
  | { type: "launch-failed"; error: SyncError }
  | { type: "host-died"; host: HostId; incarnation: number; reason: string }
  | { type: "host-unkillable"; host: HostId }
  | { type: "restart-due"; host: HostId }
  | { type: "host-restarted"; host: HostId; incarnation: number }
  | { type: "restart-failed"; host: HostId; incarnation: number; error: string }
  | { type: "heartbeat-due" }
  | { type: "host-ponged"; host: HostId; incarnation: number }
  | { type: "ping-lost" };

export type SupervisorMessage = SupervisorCommand | SupervisorEvent;
