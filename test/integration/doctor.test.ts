import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { examine } from "#src/doctor/examine.ts";
import type { Examination, Target } from "#src/doctor/examine.ts";
import type { CheckName, Level } from "#src/doctor/finding.ts";
import { createOutside } from "#src/doctor/node-outside.ts";
import { readOrigin } from "#src/doctor/outside.ts";
import type { Origin } from "#src/doctor/outside.ts";
import { PROBE_PATH } from "#src/doctor/probe-path.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { FrontRig } from "#test/support/front-rig.ts";

const PORTS = { clock: systemClock, timers: systemTimers };
const outside = createOutside({ ...PORTS, extraCa: null, addresses: new Map() });
const originOf = (rig: FrontRig): Origin => readOrigin(rig.url) as Origin;
let marks = 0;
const newMark = (): string => `mark${String((marks += 1)).padStart(8, "0")}`;

async function look(rig: FrontRig, kind: Exclude<Target["kind"], "name">, token: string | null): Promise<Examination> {
  const base = { origin: originOf(rig), prefix: "" };
  return examine({ kind, base }, { outside, newMark, token, proxy: null, isQuick: true, inside: null });
}

const levelsOf = ({ findings }: Examination): Partial<Record<CheckName, Level>> =>
  Object.fromEntries(findings.map(({ check, level }) => [check, level]));

for (const isForwarding of [false, true]) {
  describe(isForwarding ? "a doctor before the raw listener" : "a doctor before the runtime's listener", () => {
    let rig: FrontRig;
    beforeAll(async () => {
      rig = await FrontRig.start({ isForwarding });
    });
    afterAll(() => rig.stop());

    test("[DCT-70] every check that needs no TLS and no homeserver finds nothing wrong at the listener", async () => {
      const alice = rig.node.homeserver.user("alice");
      expect(levelsOf(await look(rig, "listener", alice.accessToken))).toEqual({
        tls: "skip",
        versions: "ok",
        "sync-paths": "ok",
        preflight: "ok",
        cors: "ok",
        "path-bytes": "skip",
        arrival: "ok",
        "request-size": "ok",
        "upload-size": "skip",
        streaming: "ok",
        "long-polls": "skip",
        clock: "ok",
        homeserver: "ok",
        account: "ok",
      });
    });

    test("[DCT-71] an address without TLS is a fault, and so is one where the homeserver's paths end", async () => {
      const levels = levelsOf(await look(rig, "address", null));
      expect(levels.tls).toBe("fail");
      expect(levels["path-bytes"] === "fail").toBe(!isForwarding);
      expect(levels["upload-size"]).toBe(isForwarding ? "ok" : "skip");
    });

    test("[PRB-8] an echo, a trickle and a held probe go through a real listener", async () => {
      const ask = (action: string, path = PROBE_PATH) =>
        outside.ask(originOf(rig), {
          method: "POST",
          path,
          headers: { "x-glissade-probe": `${newMark()} ${action}` },
          body: "x".repeat(1000),
        });
      const target = `${PROBE_PATH}?a=%2F%23&b=%C3%A9+%25`;
      const [echo, trickle, held] = await Promise.all([ask("echo", target), ask("trickle"), ask("hold 1")]);
      if (!echo.ok || !trickle.ok || !held.ok) throw new Error("a probe was not answered");
      expect(JSON.parse(echo.answer.text)).toMatchObject({ target, body_bytes: 1000, is_forwarding: isForwarding });
      expect(trickle.answer.text).toBe("drop\n".repeat(5));
      // On a busy machine two may arrive as one.
      expect(trickle.answer.pieces.length).toBeGreaterThan(1);
      expect(held.answer.tookMs).toBeGreaterThan(950);
      expect(JSON.parse(held.answer.text)).toEqual({ probe: "hold", seconds: 1 });
    });
  });
}

test("[DCT-72] nobody there is told of once, and nothing else is guessed", async () => {
  const base = { origin: readOrigin("https://localhost:1") as Origin, prefix: "" };
  const { findings } = await examine(
    { kind: "address", base },
    { outside, newMark, token: null, proxy: null, isQuick: true, inside: null },
  );
  expect(findings.map(({ check, level }) => [check, level])).toEqual([
    ["well-known", "skip"],
    ["reach", "fail"],
    ["tls", "skip"],
  ]);
});
