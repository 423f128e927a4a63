import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FIRST_FILTER } from "#src/homeserver/filters.ts";
import { connectTestDatabase, withPostgres } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { GoProxyFixture } from "#test/support/go-proxy-database.ts";
import { startSynapse, SynapseUser, synapseProblem } from "#test/support/synapse.ts";
import { until } from "#test/support/until.ts";

const LIMIT_MS = 300_000;
const SECRET = "the secret of the old proxy";
const PATH = "/_matrix/client/unstable/org.matrix.msc3575/sync";
const problem = synapseProblem();

interface Classic {
  next_batch: string;
  to_device?: { events: object[] };
}

interface Answer {
  pos: string;
  rooms: Record<string, { name?: string; timeline?: { content: { body?: string } }[] }>;
  extensions: {
    to_device: { next_batch: string; events?: { content: { n: number } }[] };
    e2ee: { device_lists?: { changed: string[] }; device_one_time_keys_count?: Record<string, number> };
  };
}

describe.skipIf(problem !== null)(
  `glissade import in front of Synapse${problem === null ? "" : ` (${problem})`}`,
  () => {
    const cleanup = new AsyncDisposableStack();
    let url: string;
    beforeAll(async () => {
      const synapse = await startSynapse({ stateAfter: false });
      cleanup.defer(() => synapse.stop());
      ({ url } = synapse);
    }, LIMIT_MS);
    afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

    test(
      "[OPR-8] on Synapse, messages that it keeps until they are acknowledged come once, device lists since the old position too, and all rooms",
      async () => {
        const [alice, bob] = [await SynapseUser.register(url, "alice"), await SynapseUser.register(url, "bob")];
        let serial = 0;
        const send = (n: number): Promise<object> =>
          bob.call("PUT", `/sendToDevice/m.test/txn${(serial += 1)}`, {
            messages: { [alice.userId]: { [alice.deviceId]: { n } } },
          });
        const { room_id: roomId } = await alice.call<{ room_id: string }>("POST", "/createRoom", {
          name: "Before",
          invite: [bob.userId],
          preset: "trusted_private_chat",
          initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
        });
        await bob.call("POST", `/join/${encodeURIComponent(roomId)}`, {});
        const { next_batch: first } = await alice.call<Classic>("GET", "/sync?timeout=0");
        for (const n of [1, 2]) await send(n);
        // The old proxy has these, and was stopped before it asked again: Synapse still keeps them.
        const polled = await alice.call<Classic>("GET", `/sync?timeout=0&since=${first}`);
        expect(polled.to_device?.events).toHaveLength(2);

        const database = await (await withPostgres()).createDatabase();
        const db = connectTestDatabase(database);
        cleanup.defer(() => db.close(1000));
        const old = await GoProxyFixture.create(db, SECRET);
        const owner = { userId: alice.userId, deviceId: alice.deviceId };
        await old.addDevice({ ...owner, accessToken: alice.accessToken, since: polled.next_batch });
        const positions: number[] = [];
        for (const n of [1, 2])
          positions.push(await old.addMessage(owner, { type: "m.test", sender: bob.userId, content: { n } }));

        // For its first syncs it asks what Glissade asks, and Synapse keeps the answer for two minutes.
        await alice.call<Classic>("GET", `/sync?timeout=0&filter=${encodeURIComponent(FIRST_FILTER)}`);
        // Meanwhile.
        await send(3);
        await bob.say(roomId, "said in between");
        const keys = {
          algorithms: ["m.olm.v1.curve25519-aes-sha2"],
          device_id: bob.deviceId,
          user_id: bob.userId,
          keys: {},
          signatures: {},
        };
        await bob.call("POST", "/keys/upload", { device_keys: keys });
        const env = { SYNCV3_SERVER: url, SYNCV3_DB: database, SYNCV3_SECRET: SECRET };
        const glissade = await GlissadeProcess.create(env);
        cleanup.defer(async () => void (await glissade.kill()));
        expect(await glissade.command("import", database, "--old-is-stopped")).toMatchObject({ code: 0, err: "" });
        await glissade.start();

        const sync = async (since: string, pos = ""): Promise<Answer> => {
          const answer = await glissade.fetch(`${PATH}?timeout=2000${pos === "" ? "" : `&pos=${pos}`}`, {
            method: "POST",
            headers: { authorization: `Bearer ${alice.accessToken}` },
            body: JSON.stringify({
              lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } },
              extensions: { to_device: { enabled: true, since }, e2ee: { enabled: true } },
            }),
          });
          expect(answer.status).toBe(200);
          return (await answer.json()) as Answer;
        };
        const numbers = (answer: Answer): number[] =>
          (answer.extensions.to_device.events ?? []).map(({ content }) => content.n);
        const began = await sync(String(positions[0]));
        expect(numbers(began)).toEqual([2, 3]);
        expect(began.rooms[roomId]?.name).toBe("Before");
        expect(began.rooms[roomId]?.timeline?.map(({ content }) => content.body)).toEqual(["said in between"]);
        expect(began.extensions.e2ee.device_lists?.changed).toContain(bob.userId);
        expect(began.extensions.e2ee.device_one_time_keys_count).toBeDefined();
        await send(4);
        let next = began;
        await until("the next message", async () => {
          next = await sync(next.extensions.to_device.next_batch, next.pos);
          return numbers(next).length > 0;
        });
        expect(numbers(next)).toEqual([4]);
      },
      LIMIT_MS,
    );
  },
);
