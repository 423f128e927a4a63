import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "#db/connection.ts";
import { connectTestDatabase, withPostgres } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { type GoProxy, goProxyProblem, startGoProxy } from "#test/support/go-proxy.ts";
import { freePort } from "#test/support/ports.ts";
import { SdkClient } from "#test/support/sdk-client.ts";
import { startSynapse, type Synapse, synapseProblem, type SynapseUser } from "#test/support/synapse.ts";
import { until } from "#test/support/until.ts";
import { expectRead, listOf, say } from "./conversation.ts";

const STEP_MS = 180_000;
const SECRET = "one secret, before and after";
const PLAIN_ROOMS = 20;
const problem = goProxyProblem() ?? synapseProblem();

describe.skipIf(problem !== null)(
  `matrix-js-sdk users of the Go proxy go on with Glissade${problem === null ? "" : ` (${problem})`}`,
  () => {
    const cleanup = new AsyncDisposableStack();
    let synapse: Synapse;
    let db: Database;
    let proxy: GoProxy;
    let glissade: GlissadeProcess;
    const users = {} as Record<"alice" | "bob" | "carol", SynapseUser>;
    const clients = {} as Record<"alice" | "bob" | "carol", SdkClient>;
    const rooms: string[] = [];
    let secretRoom: string;

    const clientOf = async (user: SynapseUser): Promise<SdkClient> => {
      const client = new SdkClient(user, glissade.url, new Map([["all", listOf()]]));
      cleanup.defer(() => client.stop());
      await client.start();
      return client;
    };
    /** Messages for a device, acknowledged or not, in the Go proxy's database. */
    const waitingFor = async ({ userId, deviceId }: SynapseUser): Promise<number> => {
      const [row] = await db.query<{ n: number }>(
        "select count(*) as n from syncv3_to_device_messages where user_id = $1::text and device_id = $2::text",
        [userId, deviceId],
      );
      return row?.n ?? 0;
    };
    const listedFor = async ({ userId, deviceId }: SynapseUser, target: SynapseUser): Promise<boolean> => {
      const rows = await db.query(
        `select 1 from syncv3_device_list_updates where user_id = $1::text and device_id = $2::text
         and target_user_id = $3::text and bucket = 1`,
        [userId, deviceId, target.userId],
      );
      return rows.length > 0;
    };
    const otherClients = async (): Promise<number> => {
      const [row] = await db.query<{ n: number }>(
        `select count(*) as n from pg_stat_activity
         where datname = current_database() and application_name not like 'glissade%'`,
      );
      return row?.n ?? 0;
    };

    beforeAll(async () => {
      synapse = await startSynapse({ stateAfter: false });
      cleanup.defer(() => synapse.stop());
      for (const name of ["alice", "bob", "carol"] as const) users[name] = await synapse.register(name);
      const { alice, bob, carol } = users;
      const others = [bob.userId, carol.userId];
      for (let index = 0; index < PLAIN_ROOMS; index += 1)
        rooms.push(await alice.createRoom({ name: `Room ${index}`, preset: "public_chat" }));
      secretRoom = await alice.createRoom({
        name: "Secret",
        preset: "private_chat",
        invite: others,
        initial_state: [{ type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } }],
      });
      await Promise.all([bob.join(secretRoom), carol.join(secretRoom)]);

      const database = await (await withPostgres()).createDatabase();
      db = connectTestDatabase(database, { maxConnections: 1, applicationName: "glissade test" });
      cleanup.defer(() => db.close(1000));
      const env = { SYNCV3_SERVER: synapse.url, SYNCV3_DB: database, SYNCV3_SECRET: SECRET };
      // Whoever replaces the one with the other changes nothing else.
      const port = await freePort();
      glissade = new GlissadeProcess(port, env);
      cleanup.defer(async () => void (await glissade.kill()));
      proxy = await startGoProxy(port, { ...env, SYNCV3_DB: `${database}?sslmode=disable` });
      cleanup.defer(() => proxy.stop());
      for (const name of ["alice", "bob", "carol"] as const) clients[name] = await clientOf(users[name]);
    }, STEP_MS);
    afterAll(() => cleanup.disposeAsync(), STEP_MS);

    test(
      "[OPR-60] from the database that the Go proxy left, everybody goes on with their token and their keys: what waited for who was away arrives, and every message can be read",
      async () => {
        const { alice, bob, carol } = clients;
        for (const client of Object.values(clients)) {
          client.openRoom(secretRoom);
          await client.until("the room to be encrypted", () => client.isEncrypted(secretRoom));
          await client.until("the members", () => client.joinedMembers(secretRoom).length === 3);
        }
        // With the Go proxy they understand each other.
        await say(alice, secretRoom, "a1");
        await say(bob, secretRoom, "b1");
        for (const reader of [bob, carol]) await expectRead(reader, secretRoom, users.alice, ["a1"]);
        for (const reader of [alice, carol]) await expectRead(reader, secretRoom, users.bob, ["b1"]);

        // Alice goes away. A key for her, and a device of bob's that she does not know, come to the Go proxy alone.
        alice.isOffline = true;
        const before = await waitingFor(users.alice);
        await bob.client.getCrypto()?.forceDiscardSession(secretRoom);
        await say(bob, secretRoom, "b2");
        await expectRead(carol, secretRoom, users.bob, ["b1", "b2"]);
        await until("the key for alice", async () => (await waitingFor(users.alice)) > before);
        const secondUser = await users.bob.logIn();
        const second = await clientOf(secondUser);
        await until("bob's other device to be known", () => listedFor(users.alice, users.bob));

        await proxy.stop();
        await until("its connections to be gone", async () => (await otherClients()) === 0);
        // Nobody serves now, and life goes on.
        await users.alice.say(rooms[1] ?? "", "said in between");
        const dry = await glissade.command("import", "--dry-run");
        expect(dry).toMatchObject({ code: 0, err: "" });
        expect(dry.out).toContain("4 devices");
        const imported = await glissade.command("import");
        expect(imported).toMatchObject({ code: 0, err: "" });
        expect(imported.out).toContain("4 access tokens: nobody has to log in again");
        for (const client of [...Object.values(clients), second]) client.exchanges.length = 0;
        await glissade.start();

        // Alice comes back: what waited is hers, and she knows bob's other device.
        alice.isOffline = false;
        await expectRead(alice, secretRoom, users.bob, ["b1", "b2"]);
        await until("bob's other device", async () => {
          const known = await alice.client.getCrypto()?.getUserDeviceInfo([users.bob.userId]);
          return known?.get(users.bob.userId)?.has(secondUser.deviceId) === true;
        });
        await second.until("the room", () => second.isEncrypted(secretRoom));
        second.openRoom(secretRoom);
        await second.until("the members", () => second.joinedMembers(secretRoom).length === 3);
        await say(alice, secretRoom, "a2");
        for (const reader of [bob, carol]) await expectRead(reader, secretRoom, users.alice, ["a1", "a2"]);
        await second.until("a2", () => second.messages(secretRoom, users.alice.userId).includes("a2"));
        await say(bob, secretRoom, "b3");
        for (const reader of [alice, carol]) await expectRead(reader, secretRoom, users.bob, ["b1", "b2", "b3"]);
        await alice.until("all rooms", () => alice.counts.get("all") === PLAIN_ROOMS + 1);
        await alice.until("what was said in between", () =>
          alice.messages(rooms[1] ?? "", users.alice.userId).includes("said in between"),
        );

        // A connection of the old one is unknown once; nobody was asked to log in.
        for (const client of [...Object.values(clients), second]) {
          const refused = client.exchanges.filter(({ status }) => status !== 200);
          expect(refused.map(({ status }) => status)).toEqual([400]);
        }
      },
      STEP_MS,
    );
  },
);
