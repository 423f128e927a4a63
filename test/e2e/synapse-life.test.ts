import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { ClientEvent, EventType, type MatrixEvent, RoomMemberEvent } from "matrix-js-sdk-msc3575";
import type { MSC3575List } from "matrix-js-sdk-msc3575/lib/sliding-sync.js";
import { startPostgres, type TestPostgres } from "#test/support/database.ts";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import { SdkClient } from "#test/support/sdk-client.ts";
import { startSynapse, type Synapse, synapseProblem, type SynapseUser } from "#test/support/synapse.ts";

const ROOMS = 30;
const STEP_MS = 120_000;
const problem = synapseProblem();

const listOf = (end: number, extra: Partial<MSC3575List> = {}): MSC3575List => ({
  ranges: [[0, end]],
  sort: ["by_recency"],
  timeline_limit: 5,
  required_state: [
    ["m.room.create", ""],
    ["m.room.name", ""],
    ["m.room.encryption", ""],
    ["m.room.member", "$LAZY"],
    ["m.room.member", "$ME"],
  ],
  ...extra,
});

for (const database of ["PGlite", "PostgreSQL"] as const) {
  describe.skipIf(problem !== null)(
    `two matrix-js-sdk users on Synapse, ${database}${problem === null ? "" : ` (${problem})`}`,
    () => {
      let synapse: Synapse;
      let postgres: TestPostgres | null = null;
      let dataDir: string;
      let glissade: GlissadeProcess;
      let aliceUser: SynapseUser;
      let bobUser: SynapseUser;
      let alice: SdkClient;
      let bob: SdkClient;
      const rooms: string[] = [];
      let secretRoom: string;

      beforeAll(async () => {
        synapse = await startSynapse({ stateAfter: database === "PostgreSQL" });
        dataDir = await mkdtemp(join(tmpdir(), "glissade-data-"));
        aliceUser = await synapse.register("alice");
        bobUser = await synapse.register("bob");
        for (let index = 0; index < ROOMS; index += 1) {
          rooms.push(
            await aliceUser.createRoom({ name: `Room ${index}`, preset: "private_chat", invite: [bobUser.userId] }),
          );
        }
        await Promise.all(rooms.map((roomId) => bobUser.join(roomId)));
        // Bob's joins arrived in any order; a message each puts the rooms in a known one.
        for (const roomId of rooms) await aliceUser.say(roomId, `first in ${roomId}`);
        secretRoom = rooms[3] ?? "";
        await aliceUser.call("PUT", `/rooms/${encodeURIComponent(secretRoom)}/state/m.room.encryption/`, {
          algorithm: "m.megolm.v1.aes-sha2",
        });
        const env: Record<string, string> = { SYNCV3_SERVER: synapse.url, SYNCV3_DATA: dataDir };
        if (database === "PostgreSQL") {
          postgres = await startPostgres();
          env["SYNCV3_DB"] = await postgres.createDatabase();
          env["SYNCV3_SECRET"] = "a secret for tests";
        }
        glissade = await GlissadeProcess.create(env);
        await glissade.start();
        alice = new SdkClient(
          aliceUser,
          glissade.url,
          new Map([
            ["all", listOf(9)],
            ["favourites", listOf(5, { filters: { tags: ["m.favourite"] } })],
          ]),
        );
        bob = new SdkClient(bobUser, glissade.url, new Map([["all", listOf(40)]]));
        await Promise.all([alice.start(), bob.start()]);
      }, STEP_MS * 2);

      afterAll(async () => {
        alice?.stop();
        bob?.stop();
        await glissade?.kill();
        await synapse?.stop();
        await postgres?.stop();
        if (dataDir !== undefined) await rm(dataDir, { recursive: true, force: true });
      }, STEP_MS);

      test(
        "[E2E-LIST] a 30-room list comes in recency order, and its window grows",
        async () => {
          await alice.until("ten rooms", () => alice.order.length === 10);
          expect(alice.counts.get("all")).toBe(ROOMS);
          const byRecency = [secretRoom, ...rooms.filter((roomId) => roomId !== secretRoom).reverse()];
          expect(alice.order).toEqual(byRecency.slice(0, 10));
          await alice.sync.setListRanges("all", [[0, 29]]);
          await alice.until("thirty rooms", () => alice.order.length === ROOMS);
          expect(alice.order).toEqual(byRecency);
          expect(alice.client.getRoom(rooms[12] ?? "")?.name).toBe("Room 12");
        },
        STEP_MS,
      );

      test(
        "[E2E-LIVE] a live message moves its room to the top and arrives once",
        async () => {
          const roomId = rooms[5] ?? "";
          const eventId = await bobUser.say(roomId, "up with it");
          await alice.until("the message", () => alice.messages(roomId, bobUser.userId).includes("up with it"));
          await alice.until("the bump", () => alice.order[0] === roomId);
          expect(new Set(alice.order).size).toBe(ROOMS);
          const ids = alice.client
            .getRoom(roomId)
            ?.getLiveTimeline()
            .getEvents()
            .map((event) => event.getId());
          expect(ids?.filter((id) => id === eventId)).toHaveLength(1);
        },
        STEP_MS,
      );

      test(
        "[E2E-SUB] a subscription brings the timeline and all state of a room",
        async () => {
          const roomId = rooms[7] ?? "";
          alice.sync.modifyRoomSubscriptions(new Set([roomId])).catch(() => undefined);
          await alice.until("power levels", () => {
            const room = alice.client.getRoom(roomId);
            return room?.currentState.getStateEvents("m.room.power_levels", "") != null;
          });
          expect(
            alice.client
              .getRoom(roomId)
              ?.getJoinedMembers()
              .map(({ userId }) => userId)
              .sort(),
          ).toEqual([aliceUser.userId, bobUser.userId]);
        },
        STEP_MS,
      );

      test(
        "[E2E-TAG] tags arrive and put a room on the filtered list",
        async () => {
          const roomId = rooms[9] ?? "";
          const path = `/user/${aliceUser.userId}/rooms/${encodeURIComponent(roomId)}/tags/m.favourite`;
          await aliceUser.call("PUT", path, { order: 0.5 });
          await alice.until("the tag", () => alice.client.getRoom(roomId)?.tags["m.favourite"] !== undefined);
          await alice.until("the favourite list", () => alice.counts.get("favourites") === 1);
          await aliceUser.call("DELETE", path);
          await alice.until("the list to empty", () => alice.counts.get("favourites") === 0);
        },
        STEP_MS,
      );

      test(
        "[E2E-EDU] typing, a receipt and account data arrive",
        async () => {
          const roomId = rooms[5] ?? "";
          const typed = new Promise<boolean>((resolve) => {
            alice.client.on(RoomMemberEvent.Typing, (_event, member) => {
              if (member.roomId === roomId && member.userId === bobUser.userId && member.typing) resolve(true);
            });
          });
          await bobUser.call("PUT", `/rooms/${encodeURIComponent(roomId)}/typing/${bobUser.userId}`, {
            typing: true,
            timeout: 20000,
          });
          expect(await typed).toBe(true);

          const eventId = await aliceUser.say(roomId, "read me");
          await bobUser.call(
            "POST",
            `/rooms/${encodeURIComponent(roomId)}/receipt/m.read/${encodeURIComponent(eventId)}`,
            {},
          );
          await alice.until(
            "bob's receipt",
            () => alice.client.getRoom(roomId)?.hasUserReadEvent(bobUser.userId, eventId) === true,
          );

          const seen = new Promise<unknown>((resolve) => {
            alice.client.on(ClientEvent.AccountData, (event: MatrixEvent) => {
              if (event.getType() === "org.example.note") resolve(event.getContent()["text"]);
            });
          });
          await aliceUser.call("PUT", `/user/${aliceUser.userId}/account_data/org.example.note`, { text: "remember" });
          expect(await seen).toBe("remember");
        },
        STEP_MS,
      );

      test(
        "[E2E-INVITE] an invite comes, and goes when it is rejected",
        async () => {
          const roomId = await bobUser.createRoom({ name: "Come in", invite: [aliceUser.userId] });
          await alice.until("the invite", () => alice.client.getRoom(roomId)?.getMyMembership() === "invite");
          await alice.until("it to be listed", () => alice.counts.get("all") === ROOMS + 1);
          await aliceUser.leave(roomId);
          await alice.until("it to be gone", () => alice.counts.get("all") === ROOMS && !alice.order.includes(roomId));
        },
        STEP_MS,
      );

      test(
        "[E2E-LEAVE] a room that is left leaves the list",
        async () => {
          const roomId = rooms[11] ?? "";
          expect(alice.order).toContain(roomId);
          await aliceUser.leave(roomId);
          await alice.until(
            "it to be gone",
            () => alice.counts.get("all") === ROOMS - 1 && !alice.order.includes(roomId),
          );
        },
        STEP_MS,
      );

      test(
        "[E2E-CRYPTO] encrypted messages are read both ways, in order, across a kill",
        async () => {
          const send = (from: SdkClient, body: string): Promise<unknown> =>
            from.client.sendEvent(secretRoom, EventType.RoomMessage, { msgtype: "m.text", body } as never);
          const expectRead = async (reader: SdkClient, sender: SynapseUser, bodies: string[]): Promise<void> => {
            const spoken = (): string[] =>
              reader.messages(secretRoom, sender.userId).filter((body) => body === "?" || /^[ab]\d+$/.test(body));
            await reader.until(
              `${bodies.join(" ")} (has ${spoken().join(" ")})`,
              () => spoken().length >= bodies.length && !spoken().includes("?"),
            );
            expect(spoken()).toEqual(bodies);
          };
          alice.sync.modifyRoomSubscriptions(new Set([secretRoom])).catch(() => undefined);
          bob.sync.modifyRoomSubscriptions(new Set([secretRoom])).catch(() => undefined);
          for (const client of [alice, bob]) {
            await client.until(
              "the room to be encrypted",
              () => client.client.getRoom(secretRoom)?.hasEncryptionStateEvent() === true,
            );
          }
          // The SDK encrypts for the members it knows, which come with the subscription.
          const pairs = [
            [alice, bobUser],
            [bob, aliceUser],
          ] as const;
          for (const [client, other] of pairs) {
            const isKnown = (): boolean =>
              client.client.getRoom(secretRoom)?.getMember(other.userId)?.membership === "join";
            await client.until("the other member", isKnown);
          }
          const fromAlice = ["a1", "a2", "a3", "a4", "a5"];
          const fromBob = ["b1", "b2", "b3", "b4", "b5"];
          for (const [index, body] of fromAlice.entries()) {
            await send(alice, body);
            await send(bob, fromBob[index] ?? "");
          }
          await expectRead(bob, aliceUser, fromAlice);
          await expectRead(alice, bobUser, fromBob);

          const failed = [...alice.exchanges, ...bob.exchanges].filter(({ status }) => status !== 200);
          expect(failed).toEqual([]);
          const before = alice.exchanges.length;
          await send(alice, "a6");
          await glissade.kill();
          await send(alice, "a7");
          await send(bob, "b6");
          await glissade.start();
          await send(alice, "a8");
          await send(bob, "b7");
          await expectRead(bob, aliceUser, [...fromAlice, "a6", "a7", "a8"]);
          await expectRead(alice, bobUser, [...fromBob, "b6", "b7"]);

          // The conversation went on with the positions from before the kill: nobody was told to start over.
          const after = [...alice.exchanges.slice(before), ...bob.exchanges];
          expect(after.filter(({ status }) => status !== 200)).toEqual([]);
          expect(alice.exchanges.slice(before).filter(({ posIn }) => posIn === null)).toEqual([]);
        },
        STEP_MS,
      );

      test("[E2E-QUIET] the server's output holds no token and no message", () => {
        expect(glissade.output).not.toContain(aliceUser.accessToken);
        expect(glissade.output).not.toContain(bobUser.accessToken);
        expect(glissade.output).not.toContain("up with it");
      });
    },
  );
}
