import { invariant } from "#src/errors.ts";
import type { Wire } from "#actors/runtime/comlink.ts";
import { HOST_READY } from "#actors/runtime/spawn.ts";
import type { SpawnedRole } from "./compositions.ts";
import { REGISTRY } from "./registry.ts";
import { serveHost } from "./serve-host.ts";
import { smokeRegistry } from "./smoke-test.ts";

const ROLES: Record<SpawnedRole, true> = { store: true, ingest: true, poller: true, sync: true };

const isRole = (value: string | undefined): value is SpawnedRole => value !== undefined && Object.hasOwn(ROLES, value);

/** The life of a Worker: which host it is stands in its arguments, all else comes from main. */
export function runHost(argv: readonly string[], self: Wire): void {
  const role = argumentOf(argv, "--host=");
  const index = Number(argumentOf(argv, "--index="));
  invariant(isRole(role) && Number.isInteger(index), "a Worker is told its role and index");
  serveHost(self, role, index, smokeRegistry(REGISTRY));
  // Only now: what is posted before anybody listens is lost.
  self.postMessage(HOST_READY);
}

const argumentOf = (argv: readonly string[], name: string): string | undefined =>
  argv.find((argument) => argument.startsWith(name))?.slice(name.length);
