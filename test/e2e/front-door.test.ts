import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { createHash, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { temporaryDirectory } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { HttpClient } from "#test/support/http-client.ts";
import { median } from "#test/support/median.ts";
import { expectOrderlyEnd } from "#test/support/orderly-end.ts";
import { until } from "#test/support/until.ts";
import { startSynapse, type Synapse, synapseProblem, SynapseUser } from "#test/support/synapse.ts";

const STEP_MS = 240_000;
const MIB = 1024 * 1024;
const problem = synapseProblem();
const hashOf = (bytes: Uint8Array): string => createHash("sha256").update(bytes).digest("hex");
const cleanup = new AsyncDisposableStack();
afterAll(() => cleanup.disposeAsync(), STEP_MS);

async function startGlissade(server: string): Promise<GlissadeProcess> {
  const glissade = await GlissadeProcess.create({
    SYNCV3_SERVER: server,
    SYNCV3_DATA: cleanup.use(await temporaryDirectory()).path,
    SYNCV3_FORWARD: "1",
    SYNCV3_LOG_LEVEL: "debug",
  });
  cleanup.defer(async () => void (await glissade.kill()));
  await glissade.start();
  return glissade;
}

describe.skipIf(problem !== null)(
  `Glissade as the only address of a Synapse${problem === null ? "" : ` (${problem})`}`,
  () => {
    let synapse: Synapse;
    let glissade: GlissadeProcess;
    let alice: SynapseUser;

    beforeAll(async () => {
      synapse = await startSynapse({ stateAfter: true });
      cleanup.defer(() => synapse.stop());
      glissade = await startGlissade(synapse.url);
    }, STEP_MS);

    const bearer = (): Record<string, string> => ({ authorization: `Bearer ${alice.accessToken}` });

    test(
      "[FWD-70] an account is made, a device logs in, and rooms are made and found by any name",
      async () => {
        alice = await SynapseUser.register(glissade.url, "alice");
        expect((await alice.logIn()).deviceId).not.toBe(alice.deviceId);
        const roomId = await alice.createRoom({ name: "Front", preset: "public_chat" });
        const alias = "#a/b%2Fc#d+ü:localhost";
        const path = `/directory/room/${encodeURIComponent(alias)}`;
        await alice.call("PUT", path, { room_id: roomId });
        expect(await alice.call("GET", path)).toMatchObject({ room_id: roomId });
        const direct = await fetch(`${synapse.url}/_matrix/client/v3${path}`);
        expect(await direct.json()).toMatchObject({ room_id: roomId });
        expect(await alice.call("GET", "/sync?timeout=0")).toHaveProperty(["rooms", "join", roomId]);
        await alice.say(roomId, "through the front");
      },
      STEP_MS,
    );

    test(
      "[FWD-71] 20 MB of media go up and come down again, whole and in part",
      async () => {
        const media = randomBytes(20_000_000);
        const up = await fetch(`${glissade.url}/_matrix/media/v3/upload?filename=big.bin`, {
          method: "POST",
          headers: { ...bearer(), "content-type": "application/octet-stream" },
          body: media,
        });
        expect(up.status).toBe(200);
        const { content_uri } = (await up.json()) as { content_uri: string };
        const path = `/_matrix/client/v1/media/download/${content_uri.slice("mxc://".length)}`;
        const down = await fetch(glissade.url + path, { headers: bearer() });
        expect(hashOf(new Uint8Array(await down.arrayBuffer()))).toBe(hashOf(media));
        const [ours, theirs] = await Promise.all(
          [glissade.url, synapse.url].map((url) =>
            fetch(url + path, { headers: { ...bearer(), range: "bytes=100-199" } }),
          ),
        );
        expect(ours?.status).toBe(theirs?.status as number);
        expect(await ours?.bytes()).toEqual((await theirs?.bytes()) as Uint8Array<ArrayBuffer>);
      },
      STEP_MS,
    );

    test("[FWD-72] what is asked of either is answered the same, errors and preflights included", async () => {
      const paths = [
        "/.well-known/matrix/client",
        "/_synapse/admin/v1/server_version",
        "/_matrix/federation/v1/version",
        "/_matrix/client/v3/profile/%40nobody%3Alocalhost",
        "/_matrix/client/v3/nothing/here",
        "/_matrix/client/v3/directory/room/%23no%2Fsuch%3Alocalhost",
      ];
      const answer = async (url: string, method: string): Promise<unknown> => {
        const response = await fetch(url, { method, headers: bearer() });
        const headers = [
          "content-type",
          "access-control-allow-origin",
          "access-control-allow-methods",
          "cache-control",
        ];
        return [response.status, headers.map((name) => response.headers.get(name)), await response.text()];
      };
      for (const path of paths) {
        for (const method of ["GET", "OPTIONS"]) {
          expect([path, await answer(glissade.url + path, method)]).toEqual([
            path,
            await answer(synapse.url + path, method),
          ]);
        }
      }
      const versions = (await (await fetch(`${glissade.url}/_matrix/client/versions`)).json()) as Record<
        string,
        object
      >;
      const own = (await (await fetch(`${synapse.url}/_matrix/client/versions`)).json()) as Record<string, object>;
      expect(versions["versions"]).toEqual(own["versions"] as object);
      expect(versions["unstable_features"]).toMatchObject({ ...own["unstable_features"], "org.matrix.msc3575": true });
      expect((await fetch(`${glissade.url}/_matrix/client/versions`)).headers.get("vary")).toBe("Authorization");
    });

    test(
      "[FWD-73] uploaded keys are in the very next sliding sync",
      async () => {
        const client = new HttpClient(glissade, alice.accessToken, { extensions: { e2ee: { enabled: true } } });
        await client.sync();
        const lists = { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } };
        const reader = new HttpClient(glissade, alice.accessToken, { conn_id: "reader", lists });
        const [roomId] = Object.keys((await reader.sync()).rooms);
        const [keysMs, wordsMs]: [number[], number[]] = [[], []];
        for (let round = 1; round <= 4; round++) {
          const keys = Object.fromEntries(
            Array.from({ length: 5 }, (_, index) => [
              `signed_curve25519:AAAA${round}${index}`,
              {
                key: "x".repeat(43),
                signatures: { [alice.userId]: { [`ed25519:${alice.deviceId}`]: "y".repeat(86) } },
              },
            ]),
          );
          const counted = client.sync({ timeoutMs: 100_000 });
          let startedMs = performance.now();
          await alice.call("POST", "/keys/upload", { one_time_keys: keys });
          const { extensions } = await counted;
          keysMs.push(performance.now() - startedMs);
          expect(extensions["e2ee"]?.["device_one_time_keys_count"]).toMatchObject({ signed_curve25519: 5 * round });
          const heard = reader.sync({ timeoutMs: 100_000 });
          startedMs = performance.now();
          await alice.say(roomId ?? "", `round ${round}`);
          expect(Object.keys((await heard).rooms)).toEqual([roomId ?? ""]);
          wordsMs.push(performance.now() - startedMs);
        }
        // Of keys no homeserver tells a poll that waits: they are asked for at once, and come about as soon as what it tells.
        const [keysAfter, wordsAfter] = [median(keysMs), median(wordsMs)];
        console.log(`keys are told after ${keysAfter.toFixed(0)} ms, words after ${wordsAfter.toFixed(0)} ms`);
        expect(keysAfter).toBeLessThan(5 * wordsAfter + 500);
        expect(glissade.output).toContain("the homeserver has sliding sync of its own");
        expect(glissade.output).not.toContain(alice.accessToken);
      },
      STEP_MS,
    );

    test("[FWD-74] who logs out is out of both", async () => {
      const client = new HttpClient(glissade, alice.accessToken, {});
      await client.sync();
      await alice.call("POST", "/logout", {});
      expect((await client.request()).status).toBe(401);
      expect((await fetch(`${glissade.url}/_matrix/client/v3/account/whoami`, { headers: bearer() })).status).toBe(401);
    });
  },
);

describe("Glissade before a homeserver that never answers", () => {
  test(
    "[FWD-34] a shutdown ends what waits, and is clean",
    async () => {
      const homeserver = Bun.serve({ port: 0, idleTimeout: 0, fetch: () => new Promise<Response>(() => {}) });
      cleanup.defer(() => homeserver.stop(true));
      const glissade = await startGlissade(`http://127.0.0.1:${homeserver.port}`);
      const waiting = Array.from({ length: 20 }, () =>
        glissade.fetch("/_matrix/client/v3/sync?timeout=30000").then(
          () => "answered",
          () => "ended",
        ),
      );
      await until("all requests", () => homeserver.pendingRequests >= waiting.length);
      // The homeserver would have them wait for ever.
      await expectOrderlyEnd(glissade);
      expect(new Set(await Promise.all(waiting))).toEqual(new Set(["ended"]));
    },
    STEP_MS,
  );
});

describe("Glissade before a homeserver that takes and gives 100 MiB", () => {
  test(
    "[FWD-75] bodies go through in memory that does not grow with them, also for slow readers",
    async () => {
      const size = 100 * MIB;
      const piece = new Uint8Array(64 * 1024).fill(7);
      let received = 0;
      const homeserver = Bun.serve({
        port: 0,
        maxRequestBodySize: 2 * size,
        idleTimeout: 0,
        fetch: async (request) => {
          if (request.method === "GET") {
            let left = size / piece.byteLength;
            const body = new ReadableStream({
              pull: (controller) => {
                if (left-- > 0) controller.enqueue(piece);
                else controller.close();
              },
            });
            return new Response(body);
          }
          received = 0;
          for await (const chunk of request.body ?? []) received += chunk.byteLength;
          return new Response("{}");
        },
      });
      cleanup.defer(() => homeserver.stop(true));
      const glissade = await startGlissade(`http://127.0.0.1:${homeserver.port}`);
      const residentMib = (): number =>
        Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${glissade.pid}/status`, "utf8"))?.[1] ?? 0) / 1024;
      const url = `${glissade.url}/_matrix/media/v3/upload`;
      const upload = async (): Promise<void> => {
        let left = size / piece.byteLength;
        const body = new ReadableStream({
          pull: (controller) => {
            if (left-- > 0) controller.enqueue(piece);
            else controller.close();
          },
        });
        expect((await fetch(url, { method: "POST", body })).status).toBe(200);
        expect(received).toBe(size);
      };
      const download = async (pauseMs: number): Promise<void> => {
        let [read, peak] = [0, 0];
        for await (const chunk of (await fetch(url)).body ?? []) {
          read += chunk.byteLength;
          if (read - peak < 8 * MIB) continue;
          peak = read;
          await Bun.sleep(pauseMs);
        }
        expect(read).toBe(size);
      };
      await fetch(url);
      const before = residentMib();
      let peak = before;
      const watching = setInterval(() => (peak = Math.max(peak, residentMib())), 10);
      await upload();
      await download(0);
      await download(50);
      await Promise.all([upload(), download(0)]);
      clearInterval(watching);
      console.log(`resident: ${Math.round(before)} MiB before, ${Math.round(peak)} MiB at most`);
      expect(peak - before).toBeLessThan(80);
    },
    STEP_MS,
  );
});
