import type { Clock, Logger, Metrics, Rng, Timers } from "#src/ports/basics.ts";
import type { UpstreamWatch } from "#src/homeserver/upstream-watch.ts";
import type { ThreadProbe } from "#actors/inspector/inspector-actor.ts";
import type { ActorContext, KindTable } from "#actors/runtime/actor.ts";
import type { HostInit } from "#actors/runtime/host-api.ts";
import type { HostId, HostRole } from "#actors/runtime/placement.ts";

/** The roles that are spawned; main is what spawns them. */
export type SpawnedRole = Exclude<HostRole, "main">;

/** The ports every host has, whatever its role; made first thing in each thread. */
export interface HostEnvironment {
  clock: Clock;
  rng: Rng;
  timers: Timers;
  logger: Logger;
  metrics: Metrics;
  /** What operators may learn of its thread; absent where nobody asks. */
  thread?: ThreadProbe;
  /** Told of the calls that this host makes of the homeserver. */
  upstream?: UpstreamWatch;
  /** As plain data, for main to merge. */
  collectMetrics?: () => Promise<unknown>;
  /** Flushes and closes; the last thing a host does. */
  shutdown?: () => Promise<void>;
}

/** What a composition works with. */
export interface HostServices extends HostEnvironment {
  /** For what is not an actor; actors use their own context. */
  actors: Pick<ActorContext<never>, "tell" | "ask">;
  /** While the host is composed: what takes long, for who waits. */
  busyWith: (what: string | null) => void;
}

/** A host as its role makes it. */
export interface HostComposition {
  kinds: KindTable;
  /** Every other host is wired: the first moment at which something may start by itself. Also after a restart. */
  onBegin?: () => void | Promise<void>;
  /** Another host has come back (`up`) or died (`down`); what was asked of a dead one is rejected before this. */
  onPeer?: (peer: HostId, change: "up" | "down") => void;
  /** All actors have finished and stopped. */
  onDrain?: () => Promise<void>;
  /** Closes pools and files. */
  close?: () => Promise<void>;
}

/** Makes a host of one role; `init.options` is what main put there for it. */
export type ComposeHost = (init: HostInit, services: HostServices) => HostComposition | Promise<HostComposition>;

/** How the hosts of this executable are made, by role. */
export interface HostRegistry {
  environment: (init: HostInit) => HostEnvironment | Promise<HostEnvironment>;
  /** Loads the code of a role; a Worker loads that of its own role only. */
  roles: Readonly<Record<SpawnedRole, () => Promise<ComposeHost>>>;
}
