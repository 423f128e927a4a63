import { afterEach, describe, expect, test } from "bun:test";
import fc from "fast-check";
import type { SyncBody } from "#test/support/faulty-homeserver.ts";
import { NodeRig } from "#test/support/node-rig.ts";

const POISON_ROOM = "!poison:test";
const RUNS = 12;
let rig: NodeRig | null = null;

async function start(): Promise<NodeRig> {
  rig = await NodeRig.start({ seed: 13 });
  await rig.populate(["alice", "bob"], 3);
  return rig;
}

afterEach(async () => {
  await rig?.stop();
  rig = null;
});

let ids = 0;
/** A message with one member spoiled. */
const spoiled = (changes: Record<string, unknown>): Record<string, unknown> => {
  ids += 1;
  const event = { type: "m.room.message", sender: "@bob:test", event_id: `$p${ids}`, origin_server_ts: 5, content: {} };
  return { ...event, ...changes };
};
const member = (content: unknown, stateKey: unknown = "@bob:test"): Record<string, unknown> =>
  spoiled({ type: "m.room.member", state_key: stateKey, content });
const deep = (levels: number): unknown => JSON.parse("[".repeat(levels) + "]".repeat(levels));

/** Events that no homeserver should send, and some that it may. */
const EVENTS: readonly unknown[] = [
  null,
  17,
  "text",
  [],
  {},
  spoiled({ event_id: null }),
  spoiled({ event_id: "" }),
  spoiled({ event_id: "x".repeat(5000) }),
  spoiled({ event_id: "$nul\0" }),
  spoiled({ event_id: "$lone\ud800" }),
  spoiled({ type: 5 }),
  spoiled({ type: "a\0b" }),
  spoiled({ type: "t".repeat(70_000) }),
  spoiled({ sender: null }),
  spoiled({ sender: "nobody" }),
  spoiled({ state_key: 7 }),
  spoiled({ state_key: "nul\0" }),
  spoiled({ state_key: "__proto__", type: "constructor" }),
  spoiled({ origin_server_ts: "yesterday" }),
  spoiled({ origin_server_ts: -1e300 }),
  spoiled({ origin_server_ts: 1.5 }),
  spoiled({ content: null }),
  spoiled({ content: deep(3000) }),
  spoiled({ unsigned: 3 }),
  spoiled({ unsigned: { transaction_id: {}, prev_content: [], replaces_state: 9, redacted_because: true } }),
  spoiled({ type: "m.room.redaction", redacts: {} }),
  member(null),
  member({ membership: 5 }),
  member({ membership: "dancing" }),
  member({ membership: "join", displayname: {}, avatar_url: [] }),
  member({ membership: "join" }, "not a user"),
  member({ membership: "leave" }, "@alice:test"),
  spoiled({ type: "m.room.name", state_key: "", content: { name: { a: 1 } } }),
  spoiled({ type: "m.room.avatar", state_key: "", content: { url: 4 } }),
  spoiled({ type: "m.room.canonical_alias", state_key: "", content: { alias: [] } }),
  spoiled({ type: "m.room.create", state_key: "", content: { type: 4, room_version: {}, predecessor: 8 } }),
  spoiled({ type: "m.room.tombstone", state_key: "", content: { replacement_room: { x: 1 } } }),
  spoiled({ type: "m.space.child", state_key: "!x", content: { via: "everywhere" } }),
  spoiled({ type: "m.room.history_visibility", state_key: "", content: { history_visibility: 1 } }),
  spoiled({ type: "m.room.encryption", state_key: "", content: [] }),
];

/** Rooms that are wrong as a whole. */
const ROOMS: readonly unknown[] = [
  null,
  [],
  "room",
  { timeline: null, state: 4, ephemeral: "x", account_data: [] },
  { timeline: { events: {} }, state: { events: "x" } },
  { timeline: { events: [], prev_batch: { a: 1 }, limited: "perhaps" } },
  { timeline: { events: [], prev_batch: "nul\0" }, unread_notifications: { notification_count: "many" } },
  { ephemeral: { events: [{ type: "m.typing", content: { user_ids: "all" } }, 4, { type: "m.typing" }] } },
  { ephemeral: { events: [{ type: "m.receipt", content: { $a: { "m.read": [], x: 3 }, $b: null } }] } },
  { account_data: { events: [null, { content: {} }, { type: "m.tag", content: { tags: [] } }, { type: "nul\0" }] } },
];

/** Sections beside rooms. */
const SECTIONS: readonly Record<string, unknown>[] = [
  { to_device: null },
  { to_device: { events: [null, 4, {}, { type: 5, sender: [] }] } },
  { account_data: { events: ["x", { type: null }, { type: "m.direct", content: { "@bob:test": "not a list" } }] } },
  {
    account_data: {
      events: [
        { type: "m.direct", content: [] },
        { type: "m.ignored_user_list", content: 4 },
      ],
    },
  },
  { device_lists: { changed: "everybody", left: [null, {}, 5] } },
  { device_one_time_keys_count: [], device_unused_fallback_key_types: {} },
  { presence: { events: "x" }, "org.example.unknown": deep(2000) },
];

/** An honest body with something poisonous beside what it says. */
function withRoom(body: SyncBody, room: unknown, roomId = POISON_ROOM): SyncBody {
  return { ...body, rooms: { ...body.rooms, join: { ...body.rooms?.join, [roomId]: room } } };
}

const eventsOf = (section: unknown): unknown[] | null => (section as { events?: unknown[] } | null)?.events ?? null;

describe("poison", () => {
  async function survives(alter: (body: SyncBody) => unknown, polls = 4): Promise<NodeRig> {
    const node = rig ?? (await start());
    const seen = node.syncFaults.seen.length;
    node.syncFaults.next({ kind: "altered", alter }, polls);
    for (let round = 0; round < 40 && node.syncFaults.plannedCount > 0; round += 1) await node.talk(2);
    await node.until(() => node.syncFaults.plannedCount === 0);
    await node.talk(4);
    await node.caughtUp();
    expect(node.syncFaults.seen.length).toBe(seen + polls);
    expect(node.faults()).toEqual([]);
    for (const kind of ["poller", "ingest", "directory", "user", "connection", "host"])
      expect([kind, node.crashesOf(kind)]).toEqual([kind, 0]);
    return node;
  }

  test("[FAULT-40] events: each costs itself, the rest goes on and `since` advances", async () => {
    const state = [member({ membership: "join" }, "@alice:test"), member({ membership: "join" })];
    const events = [spoiled({ content: { body: "before" } }), ...EVENTS, spoiled({ content: { body: "after" } })];
    const node = await survives((body) => withRoom(body, { state: { events: state }, timeline: { events } }));
    expect(node.metrics.of("sliding_sync_poller_rejected_total")).toBeGreaterThan(0);
    const { syncs } = node.syncFaults;
    expect(new Set(syncs.slice(-6).map(({ since }) => since)).size).toBeGreaterThan(1);
  });

  test("[FAULT-41] events in state blocks and stripped state: the same", async () => {
    await survives((body) => withRoom(body, { state: { events: EVENTS }, timeline: { events: [] } }));
    await survives((body) => ({
      ...body,
      rooms: {
        ...body.rooms,
        invite: { "!invite:test": { invite_state: { events: EVENTS } }, "!bare:test": null, "no room": {} },
        leave: { "!left:test": { state: { events: EVENTS }, timeline: { events: EVENTS } }, "!gone:test": 4 },
      },
    }));
  });

  test("[FAULT-42] rooms: the same", async () => {
    for (const room of ROOMS) await survives((body) => withRoom(body, room), 1);
    for (const roomId of ["", "no sigil", "__proto__", `!${"x".repeat(5000)}`, "!nul\0"])
      await survives((body) => withRoom(body, { timeline: { events: [spoiled({})] } }, roomId), 1);
  });

  test("[FAULT-43] sections: the same", async () => {
    for (const section of SECTIONS) {
      await survives((body) => {
        const mixed: SyncBody = { ...body };
        for (const [name, poison] of Object.entries(section)) {
          // What the homeserver had to say of it stays, so that its loss would be noticed.
          const honest = eventsOf(body[name]);
          if (honest === null) mixed[name] = poison;
          else mixed[name] = { events: [...(eventsOf(poison) ?? []), ...honest] };
        }
        return mixed;
      }, 2);
    }
  });

  test("[FAULT-44] JSON of any kind in any place of a room: the same", async () => {
    const spoil = fc.tuple(
      fc.constantFrom("state", "timeline", "ephemeral", "account_data", "unread_notifications", "summary"),
      fc.constantFrom("", "events", "limited", "prev_batch", "notification_count"),
      fc.jsonValue({ maxDepth: 4 }),
    );
    await fc.assert(
      fc.asyncProperty(fc.array(spoil, { minLength: 1, maxLength: 6 }), fc.nat(1000), async (spoils, room) => {
        await survives((body) => {
          const made: Record<string, unknown> = {
            state: { events: [member({ membership: "join" }, "@alice:test")] },
            timeline: { events: [spoiled({})] },
          };
          for (const [section, key, value] of spoils) {
            const before = made[section];
            made[section] = key === "" ? value : { ...(typeof before === "object" ? before : {}), [key]: value };
          }
          return withRoom(body, made, `!any${room}:test`);
        }, 1);
      }),
      { numRuns: RUNS },
    );
  });
});
