import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import type { Database } from "#db/connection.ts";
import { createRetentionStore } from "#db/retention-repository.ts";
import { connectTestDatabase, withPostgres } from "#test/support/database.ts";
import { CuttableDatabase } from "#test/support/faulty-database.ts";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import type { RigResponse } from "#test/support/sync-rig.ts";

const LIMIT_MS = 120_000;
const SIMPLIFIED = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync";
const ROOM = "!a:test";
const MESSAGES = 60;
const KEPT = 20;

const LISTS = { all: { ranges: [[0, 9]], timeline_limit: 50, required_state: [["m.room.name", ""]] } };

describe("retention while a client is away", () => {
  let rig: FrontRig;
  let db: Database;
  let alice: Session;
  const positions = { msc3575: "", simplified: "" };

  beforeAll(async () => {
    const url = await (await withPostgres()).createDatabase();
    db = connectTestDatabase(url);
    rig = await FrontRig.start({ database: new CuttableDatabase(url, 2) });
    alice = rig.account("alice", rig.joined("@alice:test", ["a"]));
    rig.revealRooms();
    const first = await rig.sync(alice, { lists: LISTS });
    positions.msc3575 = (await rig.sync(alice, {}, { pos: first.pos })).pos;
    const begun = await rig.sync(alice, { conn_id: "s", lists: LISTS }, { path: SIMPLIFIED });
    positions.simplified = (
      await rig.sync(alice, { conn_id: "s", lists: LISTS }, { path: SIMPLIFIED, pos: begun.pos })
    ).pos;
    for (let n = 1; n <= MESSAGES; n += 1) {
      const timeline = { events: [rig.say("@alice:test", `message ${n}`)], prev_batch: `before-${n}` };
      await rig.poll(alice, { rooms: { join: { [ROOM]: { timeline } } } });
    }
    await rig.node.shutDown();
    const removed = await createRetentionStore(db).trim(null, { ours: KEPT, others: KEPT });
    expect(removed.events).toBe(MESSAGES + 1 - KEPT);
    await rig.node.boot();
  }, LIMIT_MS);
  afterAll(async () => {
    await rig.stop();
    await db.close(1000);
  }, LIMIT_MS);

  /** The newest messages, told to be all that there is, with the token from in front of the first. */
  function expectGap(answer: RigResponse): void {
    const room = answer.rooms[ROOM];
    const bodies = room?.timeline?.map((event) => (event as unknown as { content: { body: string } }).content.body);
    const from = MESSAGES - KEPT + 1;
    expect(bodies).toEqual(Array.from({ length: KEPT }, (_, index) => `message ${from + index}`));
    expect(room).toMatchObject({ limited: true, prev_batch: `before-${from}` });
  }

  test("[OPR-55] a held pos goes on: the room comes with what is kept, limited, and a token to page back from", async () => {
    expectGap(await rig.sync(alice, {}, { pos: positions.msc3575 }));
  });

  test("[OPR-55] in the simplified dialect too", async () => {
    expectGap(await rig.sync(alice, { conn_id: "s", lists: LISTS }, { path: SIMPLIFIED, pos: positions.simplified }));
  });

  test("[OPR-56] a new connection gets the room with its state and what is kept", async () => {
    const answer = await rig.sync(alice, { conn_id: "new", lists: LISTS });
    expectGap(answer);
    expect(answer.rooms[ROOM]).toMatchObject({ initial: true, name: "a" });
  });
});
