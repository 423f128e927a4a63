import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";

const ON = { enabled: true };
const ALL = { to_device: ON, e2ee: ON, account_data: ON, receipts: ON, typing: ON };
const LIST = { lists: { all: { ranges: [[0, 9]], timeline_limit: 5 } } };
const ALICE = "@alice:test";
const BOB = "@bob:test";
const ROOM = "!a:test";

describe("extensions from sync body to response", () => {
  let rig: FrontRig;
  let alice: Session;

  beforeEach(async () => {
    rig = await FrontRig.start();
    alice = rig.account("alice", rig.joined(ALICE, ["a"]), "PHONE");
  });

  afterEach(() => rig.stop());

  const inRoom = (parts: Record<string, unknown>): Record<string, unknown> => ({ rooms: { join: { [ROOM]: parts } } });
  const ephemeral = (type: string, content: unknown): Record<string, unknown> =>
    inRoom({ ephemeral: { events: [{ type, content }] } });

  test("[EXT-7] everything a sync body says of a device, a user and a room arrives where MSC3575 has it", async () => {
    const first = await rig.sync(alice, { ...LIST, extensions: ALL });
    expect(first.extensions).toEqual({ to_device: { next_batch: expect.any(String) } });
    const message = { type: "m.room.encrypted", sender: BOB, content: { ciphertext: { c: { type: 0, body: "…" } } } };
    await rig.poll(alice, {
      to_device: { events: [message] },
      device_lists: { changed: [BOB], left: null },
      device_one_time_keys_count: { signed_curve25519: 20, curve25519: 0 },
      device_unused_fallback_key_types: [],
      account_data: { events: [{ type: "m.push_rules", content: { global: {} } }] },
      rooms: {
        join: {
          [ROOM]: {
            state: null,
            timeline: { events: null },
            account_data: { events: [{ type: "m.fully_read", content: { event_id: "$e" } }] },
            ephemeral: {
              events: [
                { type: "m.typing", content: { user_ids: [BOB] } },
                {
                  type: "m.receipt",
                  content: {
                    $e: { "m.read": { [BOB]: { ts: 3, thread_id: "main" } }, "m.read.private": { [ALICE]: { ts: 4 } } },
                  },
                },
              ],
            },
          },
        },
      },
    });
    const second = await rig.sync(alice, {}, { pos: first.pos });
    expect(second.extensions).toEqual({
      to_device: { next_batch: expect.any(String), events: [message] },
      e2ee: {
        device_one_time_keys_count: { signed_curve25519: 20, curve25519: 0 },
        device_unused_fallback_key_types: [],
        device_lists: { changed: [BOB], left: [] },
      },
      account_data: {
        global: [{ type: "m.push_rules", content: { global: {} } }],
        rooms: { [ROOM]: [{ type: "m.fully_read", content: { event_id: "$e" } }] },
      },
      receipts: {
        rooms: {
          [ROOM]: {
            type: "m.receipt",
            content: {
              $e: { "m.read": { [BOB]: { ts: 3, thread_id: "main" } }, "m.read.private": { [ALICE]: { ts: 4 } } },
            },
          },
        },
      },
      typing: { rooms: { [ROOM]: { type: "m.typing", content: { user_ids: [BOB] } } } },
    });
    expect(second.rooms).toEqual({});
  });

  test("[EXT-8] nulls in a sync body are nothing: no counts, no fallback keys, no lists, no messages", async () => {
    const { pos } = await rig.sync(alice, { ...LIST, extensions: ALL });
    await rig.poll(alice, {
      to_device: { events: null },
      device_lists: { changed: null, left: null },
      device_one_time_keys_count: null,
      device_unused_fallback_key_types: null,
      account_data: null,
      presence: null,
    });
    await rig.poll(alice, ephemeral("m.typing", { user_ids: [] }));
    expect((await rig.sync(alice, {}, { pos })).extensions).toEqual({
      to_device: { next_batch: expect.any(String) },
      typing: { rooms: { [ROOM]: { type: "m.typing", content: { user_ids: [] } } } },
    });
  });

  test("[EXT-9] every member of an extension's request may be null, zero or empty", async () => {
    const nothing = { enabled: null, lists: null, rooms: null };
    const extensions = { ...ALL, to_device: { ...ON, limit: 0, since: "" }, typing: null, e2ee: nothing };
    const { pos } = await rig.sync(alice, { ...LIST, extensions });
    await rig.poll(alice, { to_device: { events: [{ type: "m.a", sender: BOB, content: {} }] } });
    const sticky = { ...nothing, limit: 0, since: "" };
    const second = await rig.sync(
      alice,
      { extensions: { to_device: sticky, e2ee: null, account_data: nothing, receipts: null, typing: nothing } },
      { pos },
    );
    expect(Object.keys(second.extensions)).toEqual(["to_device"]);
    expect(second.extensions["to_device"]?.["events"]).toHaveLength(1);
  });

  test("[TXN-13] a transaction id is cut out of what is stored and shown to the device that it was sent to", async () => {
    const laptop = rig.account("alice", {}, "LAPTOP");
    const [phone1, laptop1] = [await rig.sync(alice, LIST), await rig.sync(laptop, LIST)];
    const event = { ...rig.say(ALICE, "mine"), unsigned: { age: 5, transaction_id: "t1" } };
    const timeline = (unsigned: Record<string, unknown>): Record<string, unknown> =>
      inRoom({ timeline: { events: [{ ...event, unsigned }] } });
    await rig.poll(alice, timeline({ age: 5, transaction_id: "t1" }));
    await rig.poll(laptop, timeline({ age: 6 }));
    const shown = async (session: Session, pos: string): Promise<unknown[]> => {
      const live = await rig.sync(session, {}, { pos });
      const anew = await rig.sync(session, { conn_id: "anew", ...LIST });
      return [live, anew].map((response) => response.rooms[ROOM]?.timeline?.at(-1)?.["unsigned"]);
    };
    expect(await shown(alice, phone1.pos)).toEqual([
      { transaction_id: "t1", age: 5 },
      { transaction_id: "t1", age: 5 },
    ]);
    expect(await shown(laptop, laptop1.pos)).toEqual([{ age: 5 }, { age: 5 }]);
  });

  test("[TXN-21] an ingest that starts anew is told who is polled", async () => {
    const slow = await FrontRig.start({ haste: 1 });
    try {
      const [sender, reader] = [
        slow.account("alice", slow.joined(ALICE, ["a"]), "PHONE"),
        slow.account("bob", slow.joined(ALICE, []), "D"),
      ];
      const bobs = slow.event("m.room.member", BOB, { membership: "join" }, BOB);
      const first = await slow.sync(sender, LIST);
      await slow.sync(reader, LIST);
      await slow.poll(reader, inRoom({ state: { events: [bobs] }, timeline: { events: [] } }));
      await slow.node.nodes.restartHost("ingest");
      await slow.node.nodes.settled();
      const event = slow.say(ALICE, "mine");
      await slow.poll(reader, inRoom({ timeline: { events: [event] } }));
      const second = await slow.sync(sender, {}, { pos: first.pos });
      expect(second.rooms[ROOM]?.timeline ?? []).not.toContainEqual(event);
      const unsigned = { transaction_id: "t1" };
      await slow.poll(sender, inRoom({ timeline: { events: [{ ...event, unsigned }] } }));
      const third = await slow.sync(sender, {}, { pos: second.pos });
      expect(third.rooms[ROOM]?.timeline).toEqual([{ ...event, unsigned }]);
    } finally {
      await slow.stop();
    }
  });
});
