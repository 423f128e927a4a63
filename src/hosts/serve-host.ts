import { invariant, SyncError } from "#src/errors.ts";
import { exposeHost, linkPeer, type Wire, wrapPeer } from "#actors/runtime/comlink.ts";
import type { HostApi, HostInit } from "#actors/runtime/host-api.ts";
import { HostRuntime } from "#actors/runtime/host-runtime.ts";
import type { LocalLines } from "#actors/runtime/local-lines.ts";
import type { PeerLink } from "#actors/runtime/peer-link.ts";
import { type HostId, hostId, type HostRole } from "#actors/runtime/placement.ts";
import type { SupervisorMessage } from "#actors/supervisor/messages.ts";
import { inspectorKind } from "#actors/inspector/inspector-actor.ts";
import { SUPERVISOR } from "#actors/addresses.ts";
import type { HostComposition, HostEnvironment, HostRegistry, HostServices } from "./compositions.ts";
import { probeKind } from "./probe.ts";

const MAIN: HostId = "main:0";

/** Hands the thread back to I/O between two slices of turns. */
export const yieldToIo = (run: () => void): void => {
  setImmediate(run);
};

/** A host between being spawned and its end. */
export interface ServedHost {
  /** Everything of it vanishes at once: a crash, for hosts that share a thread. */
  kill(): void;
  isIdle(): boolean;
}

interface Running {
  runtime: HostRuntime;
  mainLink: PeerLink;
  environment: HostEnvironment;
  composition: HostComposition;
}

/**
 * Serves one host over its wire to main: waits for `start`, composes the role, and lives until it is closed. `lines`: one for
 * all hosts of the thread.
 */
export function serveHost(
  wire: Wire,
  role: Exclude<HostRole, "main">,
  index: number,
  registry: HostRegistry,
  lines: LocalLines,
): ServedHost {
  const id = hostId(role, index);
  let running: Running | null = null;
  let isKilled = false;
  let busyWith: string | null = null;

  const alive = (): Running => {
    invariant(running !== null && !isKilled, `host ${id} is started`);
    return running;
  };

  async function start(init: HostInit): Promise<void> {
    invariant(running === null, `host ${id} is started once`);
    const environment = await registry.environment(init);
    const runtime: HostRuntime = new HostRuntime({
      ...environment,
      role,
      index,
      topology: init.topology,
      yieldToIo,
      onEscalate: (reason) => {
        const escalated: SupervisorMessage = {
          type: "host-escalated",
          host: id,
          incarnation: init.incarnation,
          reason,
        };
        runtime.tell(SUPERVISOR, escalated);
      },
    });
    const mainLink = runtime.attach(MAIN, wrapPeer(wire));
    const composition = await composed(init, {
      ...environment,
      actors: runtime,
      busyWith: (what) => {
        busyWith = what;
      },
    });
    const inspector = inspectorKind({ runtime, thread: environment.thread, upstream: environment.upstream });
    runtime.addKinds({ ...composition.kinds, probe: probeKind(id), inspector });
    running = { runtime, mainLink, environment, composition };
  }

  async function composed(init: HostInit, services: HostServices): Promise<HostComposition> {
    try {
      const compose = await registry.roles[role]();
      return await compose(init, services);
    } catch (error) {
      // Main is told no more than an expected failure's own message: what is behind it is known only here.
      const behind = error instanceof SyncError ? error.cause : error;
      if (behind instanceof Error) services.logger.error({ error: String(behind) }, "host cannot start");
      throw error;
    }
  }

  const api: HostApi = {
    start,
    connect: async (peer, port) => {
      const { runtime, composition } = alive();
      linkPeer(runtime, peer, port);
      composition.onPeer?.(peer, "up");
    },
    join: async (peer, line) => {
      const { runtime, composition } = alive();
      lines.link(line, runtime, peer);
      composition.onPeer?.(peer, "up");
    },
    disconnect: async (peer) => {
      // Before the start there is nothing to cut: this host never met that peer.
      if (running === null) return;
      const { runtime, composition } = alive();
      runtime.detach(peer);
      composition.onPeer?.(peer, "down");
    },
    begin: async () => {
      await alive().composition.onBegin?.();
    },
    ping: async () => ({ id, busyWith }),
    drain: async (limitMs) => {
      // Nobody has been let in yet.
      if (running === null) return;
      const { runtime, composition } = alive();
      await runtime.drain(limitMs);
      await composition.onDrain?.();
    },
    close: async () => {
      // Ended during its start: there is nothing to close yet.
      if (running === null) return;
      const { composition, environment } = alive();
      await composition.close?.();
      await environment.shutdown?.();
    },
    metrics: async () => (await alive().environment.collectMetrics?.()) ?? null,
  };
  exposeHost(wire, api, (batch) => {
    const { runtime, mainLink } = alive();
    return runtime.take(mainLink, batch);
  });

  return {
    kill() {
      isKilled = true;
      running?.runtime.kill();
      // Its sockets and pools would not outlive a crash either.
      running?.composition.close?.().catch(() => {});
    },
    isIdle: () => running === null || isKilled || running.runtime.isIdle,
  };
}
