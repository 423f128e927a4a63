import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { UserId } from "#src/protocol/ids.ts";
import { NaiveClient, stateKeyOf } from "#test/support/naive-client.ts";
import { type RoomAct, RoomPlay, SECRET } from "#test/support/room-play.ts";
import { type RigResponse, SyncRig } from "#test/support/sync-rig.ts";

const RUNS = 50;
/** After more in a row the supervisor takes its time. */
const MAX_CRASHES = 2;
const ACTS: readonly RoomAct[] = [
  "message",
  "message",
  "rename",
  "tag",
  "count",
  "receipt",
  "typing",
  "invite",
  "accept",
  "accept",
  "reject",
  "kick",
  "ban",
  "leave",
  "rejoin",
  "rejoin",
  "gap",
  "state",
];
const RANGES: readonly (readonly [number, number])[][] = [
  [[0, 0]],
  [[0, 2]],
  [[0, 9]],
  [[1, 3]],
  [
    [0, 1],
    [3, 4],
  ],
  [
    [2, 3],
    [0, 1],
  ],
  [
    [3, 3],
    [1, 1],
  ],
];
const FILTERS = [{}, { is_invite: false }, { tags: ["u.x"] }, { not_tags: ["u.x"] }, { room_name_like: "x" }] as const;
const COMMON = {
  timeline_limit: 3,
  required_state: [
    ["m.room.create", ""],
    ["m.room.name", ""],
    ["m.room.member", "$ME"],
  ],
};
const LISTS: Record<string, Record<string, unknown>> = {
  recent: { ...COMMON, ranges: [[0, 2]], sort: ["by_recency"] },
  named: { ...COMMON, ranges: [[0, 1]], sort: ["by_name"], filters: {} },
  unread: { ...COMMON, ranges: [[0, 1]], sort: ["by_notification_level", "by_name"], filters: { is_invite: false } },
  invites: { ...COMMON, ranges: [[0, 4]], sort: ["by_recency"], filters: { is_invite: true } },
};
const KEYS = Object.keys(LISTS);

type Change =
  | { kind: "ranges"; list: number; ranges: number }
  | { kind: "filters"; list: number; filters: number }
  | { kind: "limit"; list: number; limit: number }
  | { kind: "delete"; list: number }
  | { kind: "subscribe"; room: number }
  | { kind: "unsubscribe"; room: number };

type Step =
  | { kind: "act"; room: number; act: RoomAct; aliceFirst: boolean }
  | { kind: "request"; fate: "arrives" | "lost" | "cancelled"; change: Change | null }
  | { kind: "crash" };

const change: fc.Arbitrary<Change> = fc.oneof(
  fc.record({ kind: fc.constant("ranges" as const), list: fc.nat(3), ranges: fc.nat(RANGES.length - 1) }),
  fc.record({ kind: fc.constant("filters" as const), list: fc.nat(3), filters: fc.nat(FILTERS.length - 1) }),
  fc.record({ kind: fc.constant("limit" as const), list: fc.nat(3), limit: fc.integer({ min: 4, max: 8 }) }),
  fc.record({ kind: fc.constant("delete" as const), list: fc.nat(3) }),
  fc.record({ kind: fc.constant("subscribe" as const), room: fc.nat(5) }),
  fc.record({ kind: fc.constant("unsubscribe" as const), room: fc.nat(5) }),
);

const step: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 12,
    arbitrary: fc.record({
      kind: fc.constant("act" as const),
      room: fc.nat(5),
      act: fc.constantFrom(...ACTS),
      aliceFirst: fc.boolean(),
    }),
  },
  {
    weight: 7,
    arbitrary: fc.record({
      kind: fc.constant("request" as const),
      fate: fc.constantFrom("arrives" as const, "arrives" as const, "lost" as const, "cancelled" as const),
      change: fc.option(change, { nil: null }),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ kind: "crash" as const }) },
);

/** A client that repeats what it does not know to have arrived, as clients do. */
class Client {
  readonly naive = new NaiveClient();
  /** All it wants, as a new connection would ask for it. */
  readonly lists = new Map<string, Record<string, unknown>>(Object.entries(LISTS));
  readonly subscribed = new Set<string>();
  readonly accountData = new Map<string, unknown>();
  #unconfirmedLists = new Map<string, Record<string, unknown>>();
  #unconfirmedRooms = new Set<string>();
  #isNew = true;

  body(): Record<string, unknown> {
    const named = [...this.#unconfirmedRooms];
    return {
      lists: Object.fromEntries(this.#isNew ? this.lists : this.#unconfirmedLists),
      room_subscriptions: Object.fromEntries(
        named.filter((room) => this.subscribed.has(room)).map((room) => [room, COMMON]),
      ),
      unsubscribe_rooms: named.filter((room) => !this.subscribed.has(room)),
      ...(this.#isNew ? { extensions: { account_data: { enabled: true }, typing: { enabled: true } } } : {}),
    };
  }

  change(item: Change, roomIds: readonly string[]): void {
    if (item.kind === "subscribe" || item.kind === "unsubscribe") {
      const roomId = roomIds[item.room % roomIds.length] ?? "";
      if (item.kind === "subscribe") this.subscribed.add(roomId);
      else this.subscribed.delete(roomId);
      this.#unconfirmedRooms.add(roomId);
      return;
    }
    const key = KEYS[item.list] ?? "recent";
    const known = this.lists.get(key);
    if (item.kind === "delete" && known !== undefined) {
      this.lists.delete(key);
      this.#unconfirmedLists.set(key, { deleted: true });
      return;
    }
    // A deleted list comes back whole.
    const wanted = { ...(known ?? LISTS[key]) };
    if (item.kind === "ranges") wanted["ranges"] = RANGES[item.ranges];
    if (item.kind === "filters") wanted["filters"] = FILTERS[item.filters];
    if (item.kind === "limit") {
      // Both at once: a change of one alone sends that one alone.
      wanted["timeline_limit"] = item.limit;
      wanted["required_state"] = [...COMMON.required_state, ["m.room.topic", `${item.limit}`]];
    }
    this.lists.set(key, wanted);
    this.#unconfirmedLists.set(key, wanted);
  }

  apply(response: RigResponse): void {
    this.#isNew = false;
    this.#unconfirmedLists = new Map();
    this.#unconfirmedRooms = new Set();
    this.naive.apply(response);
    const rooms = (response.extensions["account_data"]?.["rooms"] ?? {}) as Record<string, { content: unknown }[]>;
    for (const [roomId, events] of Object.entries(rooms)) this.accountData.set(roomId, events.at(-1)?.content);
  }

  ranges(key: string): readonly (readonly [number, number])[] {
    return (this.lists.get(key)?.["ranges"] ?? []) as (readonly [number, number])[];
  }
}

interface Played {
  client: Client;
  problems: string[];
  alice: UserId;
}

async function play(rig: SyncRig, steps: readonly Step[]): Promise<Played> {
  const alice = await rig.addUser("alice");
  const bob = await rig.addUser("bob");
  const rooms = new RoomPlay(rig, alice, bob);
  for (const [index, name] of ["!a", "!b", "!c", "!d", "!e", "!f"].entries()) {
    await rooms.create(name, { isShared: index % 3 !== 2, hasAlice: index < 4 });
  }
  const roomIds = rooms.rooms.map(({ roomId }) => roomId);
  const client = new Client();
  const problems: string[] = [];
  const look = (response: RigResponse): RigResponse => {
    if (JSON.stringify(response).includes(SECRET)) problems.push("something was heard that was not for alice");
    return response;
  };
  const request = async (fate: "arrives" | "lost" | "cancelled"): Promise<void> => {
    const { pos } = client.naive;
    if (fate === "cancelled") {
      const given = rig.sync(alice, client.body(), { pos, timeoutMs: 6_000_000, requestId: 1_000_000 });
      await rig.nodes.settled();
      rig.cancel(alice, 1_000_000);
      look(await given);
      return;
    }
    const response = look(await rig.sync(alice, client.body(), { pos }));
    if (fate === "arrives") client.apply(response);
  };
  await request("arrives");
  let crashes = 0;
  for (const item of steps) {
    if (item.kind === "act") await rooms.act(item.room, item.act, item.aliceFirst);
    else if (item.kind === "crash") {
      crashes += 1;
      if (crashes <= MAX_CRASHES) await rig.nodes.restartHost("sync");
    } else {
      if (item.change !== null) client.change(item.change, roomIds);
      await request(item.fate);
    }
  }
  // Every step may have left a response that was lost: they come first.
  for (let round = 0; round < steps.length + 3; round += 1) await request("arrives");
  return { client, problems, alice };
}

/** What a client that just arrived is told, with the same wishes. */
async function askAnew(rig: SyncRig, alice: UserId, like: Client): Promise<Client> {
  const client = new Client();
  client.lists.clear();
  for (const [key, list] of like.lists) client.lists.set(key, list);
  for (const roomId of like.subscribed) client.subscribed.add(roomId);
  const subscriptions = Object.fromEntries([...like.subscribed].map((roomId) => [roomId, COMMON]));
  client.apply(await rig.sync(alice, { ...client.body(), room_subscriptions: subscriptions, conn_id: "anew" }));
  return client;
}

/** What the two must agree on. */
function view(client: Client, other: Client, anew: Client): unknown {
  const lists = [...client.lists.keys()].map((key) => [
    key,
    client.naive.lists.get(key)?.count,
    client.naive.window(key, client.ranges(key)),
  ]);
  const shown = new Set(lists.flatMap(([, , rooms]) => rooms as (string | undefined)[]));
  // A subscription to a room that was left shows nothing to one who is new.
  for (const roomId of anew.naive.rooms.keys()) if (client.subscribed.has(roomId)) shown.add(roomId);
  const rooms = [...shown].map((roomId) => {
    const room = client.naive.rooms.get(roomId ?? "");
    const fresh = other.naive.rooms.get(roomId ?? "");
    const isInvite = fresh?.head["invite_state"] !== undefined || room?.head["invite_state"] !== undefined;
    const depth = Math.min(room?.timeline.length ?? 0, fresh?.timeline.length ?? 0);
    const heads = ["name", "avatar", "joined_count", "invited_count", "notification_count", "highlight_count"];
    return {
      roomId,
      head: heads.map((key) => [key, room?.head[key]]),
      isInvite,
      timeline: depth === 0 ? [] : room?.timeline.slice(-depth).map(({ event_id }) => event_id),
      hasTimeline: (room?.timeline.length ?? 0) > 0,
      state: ["m.room.create", "m.room.name"].map((type) => room?.state.get(stateKeyOf(type, ""))?.event_id),
      member: room?.state.get(stateKeyOf("m.room.member", "@alice:hs"))?.event_id,
      accountData: isInvite ? null : client.accountData.get(roomId ?? ""),
    };
  });
  return { lists, rooms };
}

async function check(steps: readonly Step[]): Promise<void> {
  const rig = await SyncRig.start();
  try {
    const { client, problems, alice } = await play(rig, steps);
    expect([...client.naive.problems, ...problems]).toEqual([]);
    for (const isRestarted of [false, true]) {
      if (isRestarted) await rig.nodes.restartHost("sync");
      const anew = await askAnew(rig, alice, client);
      expect(view(client, anew, anew)).toEqual(view(anew, client, anew));
    }
  } finally {
    await rig.stop();
  }
}

describe("a connection while rooms come, go and change", () => {
  test("[CON-21] agrees with one that is new, and nothing is heard that is not for its user", async () => {
    await fc.assert(fc.asyncProperty(fc.array(step, { maxLength: 24 }), check), { numRuns: RUNS });
  }, 300_000);
});
