import { join } from "node:path";
import { type GoPrograms, goProgramsProblem, installGoPrograms } from "./go-programs.ts";

const GO_PROXY: GoPrograms = {
  module: "github.com/matrix-org/sliding-sync",
  version: "v0.99.19",
  packages: ["./cmd/syncv3"],
  name: "go-proxy",
  wish: "GLISSADE_TEST_GO_PROXY",
  needsC: false,
};
const READY_DEADLINE_MS = 60_000;
const LOOK_AGAIN_MS = 50;

/** The original proxy as its own process. */
export interface GoProxy {
  stop(): Promise<void>;
}

/** Why there can be no Go proxy here; null when there can. */
export const goProxyProblem = (): string | null => goProgramsProblem(GO_PROXY);

/** Starts the original proxy on a port of the loopback interface, with these variables, and waits until it serves. */
export async function startGoProxy(port: number, env: Record<string, string>): Promise<GoProxy> {
  const home = await installGoPrograms(GO_PROXY);
  const child = Bun.spawn([join(home, "syncv3")], {
    env: { PATH: process.env["PATH"] ?? "", SYNCV3_BINDADDR: `127.0.0.1:${port}`, ...env },
    stdin: "ignore",
    stdout: "ignore",
    stderr: "ignore",
  });
  const deadline = performance.now() + READY_DEADLINE_MS;
  for (;;) {
    if ((await fetch(`http://127.0.0.1:${port}/client/server.json`).catch(() => null))?.ok === true) break;
    if (child.exitCode !== null) throw new Error(`the Go proxy exited with ${child.exitCode}`);
    if (performance.now() > deadline) throw new Error("the Go proxy did not answer within a minute");
    await Bun.sleep(LOOK_AGAIN_MS);
  }
  return {
    stop: async () => {
      child.kill("SIGTERM");
      await child.exited;
    },
  };
}
