import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { type DatabaseKind, startGlissadeBefore } from "#test/support/glissade-before.ts";
import type { GlissadeProcess } from "#test/support/glissade-process.ts";
import { RandomKills } from "#test/support/random-kills.ts";
import { SdkClient } from "#test/support/sdk-client.ts";
import { passwordOf, startSynapse, synapseProblem, type SynapseUser } from "#test/support/synapse.ts";
import { until } from "#test/support/until.ts";
import { WINDOW, expectRead, listOf, newestIn, path, say } from "./conversation.ts";

const ALICES_ROOMS = 300;
const STEP_MS = 300_000;
const KILL_BETWEEN_MS = [400, 3_000] as const;
/** Says when the server is killed; printed with every failure. */
const SEED = Number(process.env["GLISSADE_SEED"] ?? 303_182);
const problem = synapseProblem();

/** Plays their life on one database: each has a file of its own, so that both can run at once. */
export function describeFourUsers(database: DatabaseKind): void {
  describe.skipIf(problem !== null)(
    `four matrix-js-sdk users on Synapse, ${database}, killed at random (GLISSADE_SEED=${SEED})${problem === null ? "" : ` (${problem})`}`,
    () => {
      const cleanup = new AsyncDisposableStack();
      let glissade: GlissadeProcess;
      let kills: RandomKills;
      const users = {} as Record<"alice" | "bob" | "carol" | "dave", SynapseUser>;
      const clients = {} as Record<"alice" | "bob" | "carol" | "dave", SdkClient>;
      const rooms: string[] = [];
      let secondUser: SynapseUser;
      let second: SdkClient | undefined;
      /** Of alice's secret storage; asked for by every device that wants to read it. */
      let storageKey: Uint8Array | undefined;

      const callbacks = () => ({
        getSecretStorageKey: ({ keys }: { keys: Record<string, unknown> }) => {
          const [id] = Object.keys(keys);
          return Promise.resolve(
            id === undefined || storageKey === undefined ? null : ([id, storageKey] as [string, Uint8Array]),
          );
        },
        cacheSecretStorageKey: (_id: string, _info: unknown, key: Uint8Array) => {
          storageKey = key;
        },
      });

      /** What alice's list should count: rooms she is in or invited to, without those upgraded to one she knows. */
      const aliceCounts = async (count: number): Promise<void> => {
        await clients.alice.until(
          `${count} rooms, has ${clients.alice.counts.get("all")}`,
          () => clients.alice.counts.get("all") === count,
        );
      };

      beforeAll(async () => {
        const synapse = await startSynapse({ stateAfter: database === "PGlite" });
        cleanup.defer(() => synapse.stop());
        for (const name of ["alice", "bob", "carol", "dave"] as const) users[name] = await synapse.register(name);
        const numbers = Array.from({ length: ALICES_ROOMS }, (_, index) => index);
        await Promise.all(
          [0, 1, 2, 3, 4, 5].map(async (lane) => {
            for (const index of numbers.filter((number) => number % 6 === lane))
              rooms[index] = await users.alice.createRoom({ name: `Room ${index}`, preset: "public_chat" });
          }),
        );
        for (const name of ["bob", "carol", "dave"] as const)
          for (const roomId of rooms.slice(0, 8)) await users[name].join(roomId);
        glissade = await startGlissadeBefore(synapse.url, database, cleanup);
        const lists = {
          alice: new Map([
            ["all", listOf()],
            ["favourites", listOf({ filters: { tags: ["m.favourite"] } })],
            ["direct", listOf({ filters: { is_dm: true } })],
          ]),
          bob: new Map([["all", listOf()]]),
          carol: new Map([["all", listOf()]]),
          dave: new Map([["all", listOf()]]),
        };
        for (const name of ["alice", "bob", "carol", "dave"] as const)
          clients[name] = new SdkClient(
            users[name],
            glissade.url,
            lists[name],
            name === "alice" ? callbacks() : undefined,
          );
        await Promise.all(Object.values(clients).map((client) => client.start()));
        kills = new RandomKills(glissade, SEED, KILL_BETWEEN_MS);
      }, STEP_MS * 2);

      afterAll(async () => {
        await kills?.stop();
        for (const client of [...Object.values(clients), second]) client?.stop();
        await cleanup.disposeAsync();
      }, STEP_MS);

      test(
        "[LIFE-1] an account of 300 rooms shows its windows, wherever they are moved",
        async () => {
          const { alice } = clients;
          await aliceCounts(ALICES_ROOMS);
          kills.begin();
          await alice.until("the first window", () => alice.order.length === WINDOW + 1);
          // Not waited for: of a request that a kill cut off, the SDK forgets the id, and whom it promised its answer.
          const show = (ranges: number[][]): void =>
            void alice.sync.setListRanges("all", ranges).catch(() => undefined);
          show([
            [0, 9],
            [250, 299],
          ]);
          await alice.until("its end", () => alice.order.length === 60);
          expect(new Set(alice.order).size).toBe(60);
          show([[0, WINDOW]]);
          await alice.until("its top", () => alice.order.length === WINDOW + 1);
        },
        STEP_MS,
      );

      test(
        "[LIFE-2] a space's children are listed as they are added, tags and direct chats too",
        async () => {
          const { alice, bob } = clients;
          const space = await users.bob.createRoom({
            name: "Space",
            preset: "public_chat",
            creation_content: { type: "m.space" },
          });
          await users.alice.join(space);
          const child = (roomId: string, content: object): Promise<unknown> =>
            users.bob.call("PUT", path`/rooms/${space}/state/m.space.child/${roomId}`, content);
          const [one = "", two = "", favourite = ""] = rooms;
          await child(one, { via: ["localhost"] });
          alice.sync.setList("in space", listOf({ filters: { spaces: [space] } })).catch(() => undefined);
          await alice.until("one child", () => alice.counts.get("in space") === 1);
          await child(two, { via: ["localhost"] });
          await alice.until("two children", () => alice.counts.get("in space") === 2);
          await child(one, {});
          await alice.until(
            "the other child",
            () => alice.orders.get("in space")?.[0] === two && alice.counts.get("in space") === 1,
          );
          expect(bob.client.getRoom(space)?.getType()).toBe("m.space");

          await users.alice.call("PUT", path`/user/${users.alice.userId}/rooms/${favourite}/tags/m.favourite`, {});
          await alice.until("the favourite", () => alice.orders.get("favourites")?.[0] === favourite);

          const direct = await users.carol.createRoom({
            is_direct: true,
            preset: "trusted_private_chat",
            invite: [users.alice.userId],
          });
          await alice.until("the invite", () => alice.client.getRoom(direct)?.getMyMembership() === "invite");
          await users.alice.join(direct);
          await users.alice.call("PUT", path`/user/${users.alice.userId}/account_data/m.direct`, {
            [users.carol.userId]: [direct],
          });
          await alice.until("the direct chat", () => alice.orders.get("direct")?.[0] === direct);
          await alice.until("its name", () => alice.client.getRoom(direct)?.name === "carol");
          await aliceCounts(ALICES_ROOMS + 2);
        },
        STEP_MS,
      );

      test(
        "[LIFE-3] an upgraded room gives its place to its successor",
        async () => {
          const { alice } = clients;
          const old = await users.bob.createRoom({ name: "Old", preset: "public_chat", room_version: "10" });
          await users.alice.join(old);
          await aliceCounts(ALICES_ROOMS + 3);
          await alice.until("the old room", () => alice.order.includes(old));
          const { replacement_room: successor } = await users.bob.call<{ replacement_room: string }>(
            "POST",
            path`/rooms/${old}/upgrade`,
            { new_version: "11" },
          );
          await users.alice.join(successor);
          await users.bob.say(successor, "we have moved");
          await alice.until("the successor", () => alice.order.includes(successor) && !alice.order.includes(old));
          await aliceCounts(ALICES_ROOMS + 3);
        },
        STEP_MS,
      );

      test(
        "[LIFE-4] kicked, banned and back again; a knock becomes a join",
        async () => {
          const { alice, dave } = clients;
          const room = await users.carol.createRoom({ name: "Door", preset: "public_chat" });
          await users.alice.join(room);
          await alice.until("the room", () => alice.order.includes(room));
          await users.carol.call("POST", path`/rooms/${room}/kick`, { user_id: users.alice.userId });
          await alice.until("it to go", () => !alice.order.includes(room));
          await users.alice.join(room);
          await alice.until("it to come back", () => alice.order.includes(room));
          await users.carol.call("POST", path`/rooms/${room}/ban`, { user_id: users.alice.userId });
          await users.carol.say(room, "she must not read this");
          await alice.until("it to go for good", () => !alice.order.includes(room));
          await users.carol.call("POST", path`/rooms/${room}/unban`, { user_id: users.alice.userId });
          await users.alice.join(room);
          await users.carol.say(room, "welcome back");
          await alice.until("welcome", () => alice.messages(room, users.carol.userId).includes("welcome back"));
          expect(alice.client.getRoom(room)?.getMyMembership()).toBe("join");

          const house = await users.alice.createRoom({
            name: "House",
            preset: "private_chat",
            initial_state: [{ type: "m.room.join_rules", state_key: "", content: { join_rule: "knock" } }],
          });
          await users.dave.call("POST", path`/knock/${house}`, {});
          await alice.until(
            "the knock",
            () => alice.client.getRoom(house)?.getMember(users.dave.userId)?.membership === "knock",
          );
          await users.alice.invite(house, users.dave.userId);
          await dave.until("the invite", () => dave.client.getRoom(house)?.getMyMembership() === "invite");
          await users.dave.join(house);
          await dave.until("the house", () => dave.client.getRoom(house)?.getMyMembership() === "join");
        },
        STEP_MS,
      );

      test(
        "[LIFE-5] nobody hears whom they ignore, and everybody else does",
        async () => {
          const { alice, bob } = clients;
          const [, , , room = ""] = rooms;
          await users.alice.call("PUT", path`/user/${users.alice.userId}/account_data/m.ignored_user_list`, {
            ignored_users: { [users.dave.userId]: {} },
          });
          await alice.until("the list to arrive", () => alice.client.isUserIgnored(users.dave.userId));
          await users.dave.say(room, "not for alice");
          await users.carol.say(room, "for all");
          await alice.until("carol", () => alice.messages(room, users.carol.userId).includes("for all"));
          await bob.until("dave", () => bob.messages(room, users.dave.userId).includes("not for alice"));
          expect(alice.messages(room, users.dave.userId)).toEqual([]);
        },
        STEP_MS,
      );

      test(
        "[LIFE-6] threads, receipts of either kind, and a redaction",
        async () => {
          const { alice, bob, carol } = clients;
          const [, , , , room = ""] = rooms;
          const root = await users.bob.say(room, "root");
          const send = (user: SynapseUser, type: string, content: object): Promise<{ event_id: string }> =>
            user.call("PUT", path`/rooms/${room}/send/${type}/${crypto.randomUUID()}`, content);
          const reply = await send(users.carol, "m.room.message", {
            msgtype: "m.text",
            body: "in the thread",
            "m.relates_to": { rel_type: "m.thread", event_id: root },
          });
          await alice.until("the reply", () => alice.messages(room, users.carol.userId).includes("in the thread"));
          const receipt = (user: SynapseUser, kind: string, eventId: string, body: object): Promise<unknown> =>
            user.call("POST", path`/rooms/${room}/receipt/${kind}/${eventId}`, body);
          await receipt(users.alice, "m.read.private", reply.event_id, { thread_id: root });
          await receipt(users.carol, "m.read", reply.event_id, { thread_id: root });
          await receipt(users.bob, "m.read", root, {});
          await alice.until("bob's receipt", () => alice.receipts.has(`${room} m.read ${users.bob.userId} ${root}`));
          await alice.until("carol's in the thread", () =>
            alice.receipts.has(`${room} m.read ${users.carol.userId} ${reply.event_id} ${root}`),
          );
          await alice.until("her own", () =>
            alice.receipts.has(`${room} m.read.private ${users.alice.userId} ${reply.event_id} ${root}`),
          );
          expect([...bob.receipts, ...carol.receipts].filter((key) => key.includes("private"))).toEqual([]);

          const wrong = await users.bob.say(room, "to be taken back");
          await carol.until("it", () => carol.eventIds(room).includes(wrong));
          await users.bob.call("PUT", path`/rooms/${room}/redact/${wrong}/${crypto.randomUUID()}`, {});
          for (const client of [alice, carol])
            await client.until(
              "it to be taken back",
              () => client.client.getRoom(room)?.findEventById(wrong)?.isRedacted() === true,
            );
        },
        STEP_MS,
      );

      test(
        "[LIFE-7] secret storage, a key backup and its reset, a new device that reads old messages",
        async () => {
          const { alice, bob } = clients;
          const [, , , , , room = ""] = rooms;
          await users.alice.call("PUT", path`/rooms/${room}/state/m.room.encryption/`, {
            algorithm: "m.megolm.v1.aes-sha2",
          });
          for (const client of [alice, bob]) {
            client.sync.modifyRoomSubscriptions(new Set([room])).catch(() => undefined);
            await client.until(
              "encryption and everybody it is for",
              () =>
                client.client.getRoom(room)?.hasEncryptionStateEvent() === true &&
                client.client.getRoom(room)?.getJoinedMembers().length === Object.keys(users).length,
            );
          }
          const crypto = alice.client.getCrypto();
          if (crypto === undefined) throw new Error("no crypto");
          await crypto.bootstrapCrossSigning({
            authUploadDeviceSigningKeys: async (request) => {
              await request({
                type: "m.login.password",
                identifier: { type: "m.id.user", user: users.alice.userId },
                password: passwordOf("alice"),
              });
            },
          });
          await crypto.bootstrapSecretStorage({
            createSecretStorageKey: () => crypto.createRecoveryKeyFromPassphrase(),
            setupNewKeyBackup: true,
          });
          await say(bob, room, "b1");
          await expectRead(alice, room, users.bob, ["b1"]);
          const before = await crypto.getActiveSessionBackupVersion();
          await crypto.resetKeyBackup();
          expect(await crypto.getActiveSessionBackupVersion()).not.toBe(before);
          await say(alice, room, "a1");
          await expectRead(bob, room, users.alice, ["a1"]);

          secondUser = await users.alice.logIn();
          second = new SdkClient(secondUser, glissade.url, new Map([["all", listOf()]]), callbacks());
          await second.start();
          const restoring = second.client.getCrypto();
          await restoring?.loadSessionBackupPrivateKeyFromSecretStorage();
          await until(
            "the keys in the backup",
            async () => {
              const { imported = 0 } = (await restoring?.restoreKeyBackup()) ?? {};
              return imported >= 2;
            },
            { limitMs: 120_000, everyMs: 500 },
          );
          second.sync.modifyRoomSubscriptions(new Set([room])).catch(() => undefined);
          // As an application does when it shows a room: the SDK tries only what comes live by itself.
          await second.client.getRoom(room)?.decryptAllEvents();
          await expectRead(second, room, users.bob, ["b1"]);

          await say(bob, room, "b2");
          await say(alice, room, "a2");
          await expectRead(alice, room, users.bob, ["b1", "b2"]);
          await expectRead(second, room, users.bob, ["b1", "b2"]);
          await expectRead(second, room, users.alice, ["a1", "a2"]);
          const raw = second.client.getRoom(room)?.getLiveTimeline().getEvents() ?? [];
          expect(raw.filter((event) => event.getUnsigned().transaction_id !== undefined)).toEqual([]);
        },
        STEP_MS,
      );

      test(
        "[LIFE-8] a device that logs out is told so, and the other goes on",
        async () => {
          const { alice } = clients;
          const [, , , , , , room = ""] = rooms;
          if (second === undefined) throw new Error("no second device");
          const gone = second;
          await secondUser.call("POST", "/logout", {});
          await gone.until("to be told", () => gone.exchanges.some(({ status }) => status === 401));
          gone.stop();
          await users.bob.say(room, "only one of them hears this");
          await alice.until("it", () => alice.messages(room, users.bob.userId).includes("only one of them hears this"));
        },
        STEP_MS,
      );

      test(
        "[LIFE-9] at the end everybody sees what the homeserver has, and was never told to start over",
        async () => {
          await kills.stop();
          const { alice } = clients;
          const last = rooms[7] ?? "";
          await users.alice.say(last, "the end");
          for (const name of ["alice", "bob", "carol", "dave"] as const) {
            const client = clients[name];
            await client.until("the end", () => client.messages(last, users.alice.userId).includes("the end"));
            for (const roomId of client.order) {
              const ids = client.eventIds(roomId);
              expect(new Set(ids).size).toBe(ids.length);
            }
            expect(client.exchanges.filter(({ status }) => status === 400)).toEqual([]);
            expect(client.exchanges.slice(1).filter(({ posIn }) => posIn === null)).toEqual([]);
          }
          const { joined_rooms: joined } = await users.alice.call<{ joined_rooms: string[] }>("GET", "/joined_rooms");
          // The old room of the upgrade is still joined, and hidden behind its successor.
          await aliceCounts(joined.length - 1);
          const newest = await Promise.all(alice.order.map((roomId) => newestIn(users.alice, roomId)));
          expect(newest.map(({ ts }) => ts)).toEqual(newest.map(({ ts }) => ts).sort((a, b) => b - a));
          expect(kills.count).toBeGreaterThan(2);
          for (const user of [...Object.values(users), secondUser])
            expect(glissade.output).not.toContain(user.accessToken);
        },
        STEP_MS,
      );
    },
  );
}
