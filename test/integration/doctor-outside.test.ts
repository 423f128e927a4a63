import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { readFileSync } from "node:fs";
import { createServer } from "node:https";
import type { Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createOutside } from "#src/doctor/node-outside.ts";
import type { Origin } from "#src/doctor/outside.ts";
import { systemClock, systemTimers } from "#src/system.ts";

const TLS = join(import.meta.dir, "../support/tls");
const cert = readFileSync(join(TLS, "cert.pem"), "utf8");
const key = readFileSync(join(TLS, "key.pem"), "utf8");
const PORTS = { clock: systemClock, timers: systemTimers };
const addresses = new Map(["sync.example.org", "elsewhere.test"].map((name) => [name, "127.0.0.1"]));
const trusting = createOutside({ ...PORTS, extraCa: cert, addresses });
const strict = createOutside({ ...PORTS, extraCa: null, addresses });

describe("the outside as it is", () => {
  const servers: Server[] = [];
  const seen: { target: string; host: string }[] = [];
  const open = async (versions: { minVersion?: "TLSv1.3"; maxVersion?: "TLSv1.2" }, host: string): Promise<Origin> => {
    const server = createServer({ cert, key, ...versions }, (request, response) => {
      seen.push({ target: request.url ?? "", host: request.headers.host ?? "" });
      if (request.url === "/silent") return;
      if (request.url === "/broken") {
        response.writeHead(200, { "content-length": "100" });
        response.write("half");
        setTimeout(() => response.destroy(), 20);
        return;
      }
      if (Number(request.headers["content-length"] ?? 0) > 1000) response.writeHead(413).end("too much");
      else
        response
          .writeHead(
            200,
            [
              ["X-Twice", "1"],
              ["X-Twice", "2"],
            ].flat(),
          )
          .end("{}");
    });
    servers.push(server);
    await new Promise<void>((resolve) => {
      server.listen(0, "127.0.0.1", resolve);
    });
    return { scheme: "https", host, port: (server.address() as AddressInfo).port };
  };
  let both: Origin;

  beforeAll(async () => {
    both = await open({}, "sync.example.org");
  });
  afterAll(() => {
    for (const server of servers) {
      server.closeAllConnections();
      server.close();
    }
  });

  test("[DCT-73] which versions of TLS are spoken is seen one by one", async () => {
    const [modern, old] = await Promise.all([
      open({ minVersion: "TLSv1.3" }, "sync.example.org"),
      open({ maxVersion: "TLSv1.2" }, "sync.example.org"),
    ]);
    const spoken = async (origin: Origin): Promise<boolean[]> =>
      Promise.all(
        (["TLSv1.2", "TLSv1.3"] as const).map(async (version) => (await trusting.handshake(origin, version)).ok),
      );
    expect([await spoken(both), await spoken(modern), await spoken(old)]).toEqual([
      [true, true],
      [false, true],
      [true, false],
    ]);
  });

  test("[DCT-74] a certificate's end, name and authority are seen apart", async () => {
    const certificateOf = async (outside: typeof strict, origin: Origin) => {
      const hands = await outside.handshake(origin, "TLSv1.3");
      if (!hands.ok) throw new Error(hands.reason);
      return hands.certificate;
    };
    const good = await certificateOf(trusting, both);
    expect(good).toMatchObject({ nameProblem: null, trustProblem: null });
    expect(good.validToMs).toBeGreaterThan(Date.now());
    expect((await certificateOf(strict, both)).trustProblem).toBe("DEPTH_ZERO_SELF_SIGNED_CERT");
    const misnamed = await certificateOf(trusting, { ...both, host: "elsewhere.test" });
    expect(misnamed.nameProblem).not.toBeNull();
    expect(misnamed.trustProblem).toBeNull();
  });

  test("[DCT-75] targets go out as they are written, and every header comes back as often as it was sent", async () => {
    const target = "/a%2Fb/../c//d+%C3%A9?x=%23";
    const result = await strict.ask({ ...both, host: "elsewhere.test" }, { method: "GET", path: target });
    expect(result).toMatchObject({ ok: true, answer: { status: 200, text: "{}" } });
    if (result.ok) expect(result.answer.headers.get("x-twice")).toEqual(["1", "2"]);
    expect(seen.at(-1)).toEqual({ target, host: `elsewhere.test:${both.port}` });
  });

  test("[DCT-76] every question ends: by an answer, a deadline, or a connection that breaks", async () => {
    const ask = (path: string, more: object = {}) =>
      strict.ask(both, { method: "POST", path, deadlineMs: 20_000, ...more });
    expect(await ask("/silent", { deadlineMs: 300 })).toMatchObject({ ok: false, reason: "no answer in time" });
    expect(await ask("/broken")).toMatchObject({ ok: false });
    expect(await strict.ask({ ...both, port: 1 }, { method: "GET", path: "/" })).toMatchObject({
      ok: false,
      reason: "ECONNREFUSED",
    });
    expect(await ask("/", { claimedBytes: 5000 })).toMatchObject({ ok: true, answer: { status: 413 } });
  });

  test("[DCT-77] a secret goes only to who is believed, and has the name", async () => {
    const asked = seen.length;
    const secret = { method: "GET", path: "/", headers: { authorization: "Bearer secret" }, isSecret: true };
    expect(await strict.ask(both, secret)).toMatchObject({ ok: false, reason: "DEPTH_ZERO_SELF_SIGNED_CERT" });
    expect(await trusting.ask({ ...both, host: "elsewhere.test" }, secret)).toMatchObject({ ok: false });
    expect(seen).toHaveLength(asked);
    expect(await trusting.ask(both, secret)).toMatchObject({ ok: true });
  });
});
