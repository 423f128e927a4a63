import type { Wire } from "./comlink.ts";
import type { HostRole } from "./placement.ts";

/** One life of a host, however it is run. */
export interface HostHandle {
  readonly wire: Wire;
  /** One life of a thread: hosts of the same one can be joined without a wire. */
  readonly thread: object;
  /** `listener` is called once, at the latest when the host has ended, whoever wanted it. */
  onDeath(listener: (reason: string) => void): void;
  /** Resolves true when nothing of it runs any more, false when it cannot be ended. Hosts that share its thread end too. */
  terminate(): Promise<boolean>;
  /** The same for a host that has closed in order: hosts that share its thread go on. */
  release(): Promise<boolean>;
}

/** Makes hosts: Workers in production, runtimes in the same thread in tests. */
export interface HostSpawner {
  /** Resolves when the host listens; nothing may be posted before. */
  spawn(role: HostRole, index: number): Promise<HostHandle>;
}
