import { beforeEach, describe, expect, test } from "bun:test";
import type { EventFields } from "#src/protocol/events.ts";
import type { UserId } from "#src/protocol/ids.ts";
import { STICKY_BYTES_PER_ROOM, STICKY_PER_ROOM, STICKY_PER_SENDER } from "#src/state/sticky-drafts.ts";
import { IngestWorld, roomUpdate } from "#test/support/ingest-world.ts";
import { joinSection, memberEvent, pollBatch, polledEvent, stateEvent } from "#test/support/polls.ts";

const ALICE = "@alice:hs" as UserId;
const ROOM = "!room:hs";
const HOUR_MS = 3_600_000;

let world: IngestWorld;
beforeEach(async () => {
  world = new IngestWorld();
  const state = [stateEvent("$create", "m.room.create", ""), memberEvent("$alice", ALICE, "join")];
  await world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { state })] }));
});

const sticky = (id: string, sender = "@bob:hs", bytes = 10): EventFields => ({
  ...polledEvent(id, { sender }),
  sticky: { durationMs: HOUR_MS, ttlMs: null },
  json: new Uint8Array(bytes),
});
const beside = (...events: EventFields[]) =>
  world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { sticky: events })] }));

describe("sticky events in a group of polls", () => {
  test("[STE-19] a room tells when its last sticky event expires, and one without any says nothing", async () => {
    const reduction = await world.apply(
      pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [polledEvent("$m")] })] }),
    );
    expect(roomUpdate(reduction, ROOM)).not.toHaveProperty("sticky");
    expect(roomUpdate(reduction, ROOM).meta).not.toHaveProperty("stickyUntilMs");
    const { updates, transaction } = await beside(sticky("$s"));
    expect(updates.rooms[0]?.meta.stickyUntilMs).toBe(HOUR_MS);
    expect(updates.rooms[0]?.timeline).toEqual([]);
    expect(updates.rooms[0]?.sticky).toMatchObject([{ id: "$s", expiresMs: HOUR_MS, pos: transaction.head }]);
  });

  test.each([
    ["of one sender", STICKY_PER_SENDER, () => "@bob:hs", 10],
    ["of a room", STICKY_PER_ROOM, (index: number) => `@u${index}:hs`, 10],
    ["of a room in bytes", 64, (index: number) => `@u${index}:hs`, STICKY_BYTES_PER_ROOM / 64],
  ])(
    "[STE-20] no more than so many %s are kept, also after a restart; what is refused is noted",
    async (_, most, sender, bytes) => {
      const events = Array.from({ length: most }, (_unused, index) => sticky(`$${index}`, sender(index), bytes));
      const { transaction } = await beside(...events);
      expect(transaction.sticky).toHaveLength(most);
      world.restart();
      const next = await beside(sticky("$over", sender(most), bytes), sticky("$0", sender(0), bytes));
      expect(next.transaction.sticky).toEqual([]);
      expect(next.transaction.quarantine).toMatchObject([
        { section: "join.msc4354_sticky", reason: expect.stringMatching(/^too many sticky events/), sample: "" },
      ]);
    },
  );

  test("[STE-21] a redaction in the same poll leaves nothing of the event, and takes no place twice", async () => {
    const redaction = { ...polledEvent("$r", { type: "m.room.redaction" }), redacts: "$s" };
    const json = new TextEncoder().encode('{"event_id":"$r","type":"m.room.redaction","redacts":"$s","content":{}}');
    const { transaction } = await world.apply(
      pollBatch(ALICE, { rooms: [joinSection(ROOM, { sticky: [sticky("$s")] })] }),
      pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: [{ ...redaction, json }] })] }),
    );
    expect(transaction.sticky).toMatchObject([{ id: "$s", json: new Uint8Array(0) }]);
    expect((await beside(sticky("$s"))).transaction.sticky).toEqual([]);
  });
});
