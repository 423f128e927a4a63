import { expect } from "bun:test";
import { type DatabaseKind, startGlissadeBefore } from "#test/support/glissade-before.ts";
import type { GlissadeProcess } from "#test/support/glissade-process.ts";
import type { LifeClient } from "#test/support/life-client.ts";
import type { Synapse, SynapseUser } from "#test/support/synapse.ts";

/** Rooms of the two users; one of them is encrypted. */
const LIFE_ROOMS = 30;

/** Two users of one homeserver, and what they sync with. */
export interface Life<Client extends LifeClient = LifeClient> {
  synapse: Synapse;
  glissade: GlissadeProcess;
  aliceUser: SynapseUser;
  bobUser: SynapseUser;
  alice: Client;
  bob: Client;
  rooms: readonly string[];
  secretRoom: string;
  /** Whether the clients speak to nothing but Glissade, and are cut off while it is down. */
  isOrigin: boolean;
}

/** Two accounts before anybody syncs. */
type Settled = Pick<Life, "synapse" | "aliceUser" | "bobUser" | "rooms" | "secretRoom">;

/** A list as the SDKs take it. */
type LifeList = ReturnType<typeof lifeList> & { sort?: string[]; filters?: { tags: string[] } };

/** A list of the life, in the form that both dialects understand. */
const lifeList = (end: number) => ({
  ranges: [[0, end]],
  timeline_limit: 5,
  required_state: [
    ["m.room.create", ""],
    ["m.room.name", ""],
    ["m.room.encryption", ""],
    ["m.room.member", "$LAZY"],
    ["m.room.member", "$ME"],
  ],
});

/** How two users live. */
export interface LifePlan<Client extends LifeClient> {
  database: DatabaseKind;
  env?: Record<string, string>;
  /** See `Life`. */
  isOrigin: boolean;
  /** In what order a list is asked for, where that can be asked for. */
  sort?: readonly string[];
  client: (user: SynapseUser, glissadeUrl: string, lists: Map<string, LifeList>) => Client;
  /** What happens when they have settled down, before anybody syncs. */
  before?: (settled: Settled) => Promise<void>;
}

/** Two users settle down on a homeserver, and sync through a Glissade of their own; all of that ends with `cleanup`. */
export async function beginLife<Client extends LifeClient & { start(): Promise<unknown> }>(
  homeserver: Synapse,
  plan: LifePlan<Client>,
  cleanup: AsyncDisposableStack,
): Promise<Life<Client>> {
  const settled = await settleDown(homeserver);
  await plan.before?.(settled);
  const glissade = await startGlissadeBefore(homeserver.url, plan.database, cleanup, plan.env);
  const list = (end: number): LifeList => ({
    ...lifeList(end),
    ...(plan.sort === undefined ? {} : { sort: [...plan.sort] }),
  });
  const favourites = { ...list(5), filters: { tags: ["m.favourite"] } };
  const ofAlice = new Map([
    ["all", list(9)],
    ["favourites", favourites],
  ]);
  const alice = plan.client(settled.aliceUser, glissade.url, ofAlice);
  const bob = plan.client(settled.bobUser, glissade.url, new Map([["all", list(40)]]));
  cleanup.defer(() => {
    for (const client of [alice, bob]) client.stop();
  });
  await Promise.all([alice.start(), bob.start()]);
  return { ...settled, glissade, alice, bob, isOrigin: plan.isOrigin };
}

const roomPath = (roomId: string, path: string): string => `/rooms/${encodeURIComponent(roomId)}/${path}`;

/** Two accounts in thirty rooms of a known order. */
async function settleDown(synapse: Synapse): Promise<Settled> {
  const [aliceUser, bobUser] = [await synapse.register("alice"), await synapse.register("bob")];
  const rooms: string[] = [];
  for (let index = 0; index < LIFE_ROOMS; index += 1) {
    const options = { name: `Room ${index}`, preset: "private_chat", invite: [bobUser.userId] };
    rooms.push(await aliceUser.createRoom(options));
  }
  await Promise.all(rooms.map((roomId) => bobUser.join(roomId)));
  // Bob's joins arrived in any order; a message each puts the rooms in a known one.
  for (const roomId of rooms) await aliceUser.say(roomId, `first in ${roomId}`);
  const secretRoom = rooms[3] ?? "";
  await aliceUser.call("PUT", roomPath(secretRoom, "state/m.room.encryption/"), { algorithm: "m.megolm.v1.aes-sha2" });
  return { synapse, aliceUser, bobUser, rooms, secretRoom };
}

/** The list is in recency order, and its window grows. */
export async function seesTheList({ alice, rooms, secretRoom }: Life): Promise<void> {
  await alice.until("ten rooms", () => alice.order.length === 10);
  expect(alice.counts.get("all")).toBe(LIFE_ROOMS);
  const byRecency = [secretRoom, ...rooms.filter((roomId) => roomId !== secretRoom).reverse()];
  expect(alice.order).toEqual(byRecency.slice(0, 10));
  await alice.showRooms(LIFE_ROOMS - 1);
  await alice.until("all rooms but one", () => alice.order.length === LIFE_ROOMS - 1);
  expect(alice.order).toEqual(byRecency.slice(0, LIFE_ROOMS - 1));
  expect(alice.roomName(rooms[12] ?? "")).toBe("Room 12");
}

/** A live message moves its room to the top, and arrives once. */
export async function hearsLiveMessages({ alice, bobUser, rooms }: Life): Promise<void> {
  const roomId = rooms[5] ?? "";
  const eventId = await bobUser.say(roomId, "up with it");
  await alice.until("the message", () => alice.messages(roomId, bobUser.userId).includes("up with it"));
  await alice.until("the bump", () => alice.order[0] === roomId);
  expect(new Set(alice.order).size).toBe(LIFE_ROOMS - 1);
  expect(alice.eventIds(roomId).filter((id) => id === eventId)).toHaveLength(1);
  await alice.showRooms(LIFE_ROOMS + 10);
}

/** A subscription brings the timeline and all state of a room. */
export async function opensARoom({ alice, aliceUser, bobUser, rooms }: Life): Promise<void> {
  const roomId = rooms[7] ?? "";
  alice.openRoom(roomId);
  await alice.until("power levels", () => alice.hasState(roomId, "m.room.power_levels"));
  expect(alice.joinedMembers(roomId)).toEqual([aliceUser.userId, bobUser.userId]);
}

/** Tags arrive, and put a room on the filtered list. */
export async function tagsARoom({ alice, aliceUser, rooms }: Life): Promise<void> {
  const roomId = rooms[9] ?? "";
  const path = `/user/${aliceUser.userId}/rooms/${encodeURIComponent(roomId)}/tags/m.favourite`;
  await aliceUser.call("PUT", path, { order: 0.5 });
  await alice.until("the tag", () => alice.hasTag(roomId, "m.favourite"));
  await alice.until("the favourite list", () => alice.counts.get("favourites") === 1);
  await aliceUser.call("DELETE", path);
  await alice.until("the list to empty", () => alice.counts.get("favourites") === 0);
}

/** Typing, a receipt and account data arrive. */
export async function hearsWhatPasses({ alice, aliceUser, bobUser, rooms }: Life): Promise<void> {
  const roomId = rooms[5] ?? "";
  await bobUser.call("PUT", roomPath(roomId, `typing/${bobUser.userId}`), { typing: true, timeout: 110_000 });
  await alice.until("bob to type", () => alice.isTyping(roomId, bobUser.userId));
  const eventId = await aliceUser.say(roomId, "read me");
  await bobUser.call("POST", roomPath(roomId, `receipt/m.read/${encodeURIComponent(eventId)}`), {});
  await alice.until("bob's receipt", () => alice.hasRead(roomId, bobUser.userId, eventId));
  await aliceUser.call("PUT", `/user/${aliceUser.userId}/account_data/org.example.note`, { text: "remember" });
  await alice.until("the note", () => alice.accountData("org.example.note")?.["text"] === "remember");
}

/** An invite comes, and goes when it is rejected. */
export async function rejectsAnInvite({ alice, aliceUser, bobUser }: Life): Promise<void> {
  const roomId = await bobUser.createRoom({ name: "Come in", invite: [aliceUser.userId] });
  await alice.until("the invite", () => alice.membership(roomId) === "invite");
  await alice.until("it to be listed", () => alice.counts.get("all") === LIFE_ROOMS + 1);
  await aliceUser.leave(roomId);
  await alice.until("it to be gone", () => alice.counts.get("all") === LIFE_ROOMS && !alice.order.includes(roomId));
}

/** A room that is left leaves the list. */
export async function leavesARoom({ alice, aliceUser, rooms }: Life): Promise<void> {
  const roomId = rooms[11] ?? "";
  expect(alice.order).toContain(roomId);
  await aliceUser.leave(roomId);
  await alice.until("it to be gone", () => alice.counts.get("all") === LIFE_ROOMS - 1 && !alice.order.includes(roomId));
}

/** Encrypted messages are read both ways, in order, across a kill. */
export async function speaksInSecret(life: Life): Promise<void> {
  const { alice, bob, aliceUser, bobUser, secretRoom, glissade } = life;
  const expectRead = async (reader: LifeClient, sender: SynapseUser, bodies: string[]): Promise<void> => {
    const spoken = (): string[] =>
      reader.messages(secretRoom, sender.userId).filter((body) => body === "?" || /^[ab]\d+$/.test(body));
    await reader.until(
      () => `${bodies.join(" ")} (has ${spoken().join(" ")})`,
      () => spoken().length >= bodies.length && !spoken().includes("?"),
    );
    expect(spoken()).toEqual(bodies);
  };
  for (const [client, other] of [
    [alice, bobUser],
    [bob, aliceUser],
  ] as const) {
    client.openRoom(secretRoom);
    await client.until("the room to be encrypted", () => client.isEncrypted(secretRoom));
    // The SDK encrypts for the members it knows, which come with the subscription.
    await client.until("the other member", () => client.joinedMembers(secretRoom).includes(other.userId));
  }
  const fromAlice = ["a1", "a2", "a3", "a4", "a5"];
  const fromBob = ["b1", "b2", "b3", "b4", "b5"];
  for (const [index, body] of fromAlice.entries()) {
    await alice.send(secretRoom, body);
    await bob.send(secretRoom, fromBob[index] ?? "");
  }
  await expectRead(bob, aliceUser, fromAlice);
  await expectRead(alice, bobUser, fromBob);

  const failed = [...alice.exchanges, ...bob.exchanges].filter(({ status }) => status !== 200);
  expect(failed).toEqual([]);
  const before = alice.exchanges.length;
  await alice.send(secretRoom, "a6");
  await glissade.kill();
  if (life.isOrigin) await glissade.start();
  await alice.send(secretRoom, "a7");
  await bob.send(secretRoom, "b6");
  if (!life.isOrigin) await glissade.start();
  await alice.send(secretRoom, "a8");
  await bob.send(secretRoom, "b7");
  await expectRead(bob, aliceUser, [...fromAlice, "a6", "a7", "a8"]);
  await expectRead(alice, bobUser, [...fromBob, "b6", "b7"]);

  // The conversation went on with the positions from before the kill: nobody was told to start over.
  const after = [...alice.exchanges.slice(before), ...bob.exchanges];
  expect(after.filter(({ status }) => status !== 200)).toEqual([]);
  expect(alice.exchanges.slice(before).filter(({ posIn }) => posIn === null)).toEqual([]);
}

/** The server's output holds no token and no message. */
export function keptQuiet({ glissade, aliceUser, bobUser }: Life): void {
  expect(glissade.output).not.toContain(aliceUser.accessToken);
  expect(glissade.output).not.toContain(bobUser.accessToken);
  expect(glissade.output).not.toContain("up with it");
}
