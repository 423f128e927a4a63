import { invariant } from "#src/errors.ts";
import type { Wire } from "#actors/runtime/comlink.ts";
import { LocalLines } from "#actors/runtime/local-lines.ts";
import { type ServeCommand, THREAD_READY } from "#actors/runtime/spawn.ts";
import type { SpawnedRole } from "./compositions.ts";
import { createRegistry } from "./registry.ts";
import { serveHost } from "./serve-host.ts";
import { smokeRegistry } from "./smoke-test.ts";

const ROLES: Record<SpawnedRole, true> = { store: true, ingest: true, poller: true, sync: true };

const isRole = (value: string): value is SpawnedRole => Object.hasOwn(ROLES, value);

/** The life of a Worker: its name stands in its arguments, which hosts it serves comes from main. */
export function runThread(argv: readonly string[], self: Wire): void {
  const name = argv.find((argument) => argument.startsWith(THREAD_ARGUMENT))?.slice(THREAD_ARGUMENT.length);
  invariant(name !== undefined, "a Worker is told its name");
  const lines = new LocalLines();
  const registry = smokeRegistry(createRegistry(name));
  self.addEventListener("message", (event) => {
    const { role, index, port } = (event as MessageEvent<ServeCommand>).data;
    invariant(isRole(role), "a Worker serves what can be spawned");
    serveHost(port, role, index, registry, lines);
  });
  // Only now: what is posted before anybody listens is lost.
  self.postMessage(THREAD_READY);
}

const THREAD_ARGUMENT = "--thread=";
