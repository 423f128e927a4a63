import { beforeEach, describe, expect, test } from "bun:test";
import type { EventFields } from "#src/protocol/events.ts";
import type { UserId } from "#src/protocol/ids.ts";
import { AWAITED_REDACTIONS_LIMIT } from "#src/protocol/room-meta.ts";
import { IngestWorld, roomUpdate } from "#test/support/ingest-world.ts";
import { bytesOf, joinSection, memberEvent, pollBatch, polledEvent, stateEvent } from "#test/support/polls.ts";

const ALICE = "@alice:hs" as UserId;
const BOB = "@bob:hs";
const ROOM = "!room:hs";

let world: IngestWorld;
beforeEach(async () => {
  world = new IngestWorld();
  await start(ROOM, "c");
});

const start = (roomId: string, tag: string) =>
  world.apply(
    pollBatch(ALICE, {
      rooms: [
        joinSection(roomId, {
          state: [
            stateEvent(`$create-${tag}`, "m.room.create", "", { room_version: "9" }),
            memberEvent(`$alice-${tag}`, ALICE, "join", { name: "Alice" }),
            memberEvent(`$bob-${tag}`, BOB, "join", { name: "Bob" }),
            stateEvent(`$name-${tag}`, "m.room.name", "", { name: "Named" }),
          ],
        }),
      ],
    }),
  );
const timeline = (...events: EventFields[]) =>
  world.apply(pollBatch(ALICE, { rooms: [joinSection(ROOM, { timeline: events })] }));
const say = (id: string): EventFields => polledEvent(id, { content: { body: "secret" } });
const redaction = (id: string, redacts: string): EventFields => {
  const event = polledEvent(id, { type: "m.room.redaction" });
  return { ...event, redacts, json: bytesOf({ event_id: id, type: "m.room.redaction", content: {}, redacts }) };
};
const stored = (id: string): Record<string, unknown> =>
  JSON.parse(new TextDecoder().decode(world.event(id).json)) as Record<string, unknown>;

describe("redactions", () => {
  test("[EVT-26] a stored event is redacted where it is stored, and those who hold it are told", async () => {
    await timeline(say("$m1"), say("$m2"));
    world.restart();
    const reduction = await timeline(redaction("$r", "$m1"));
    expect(stored("$m1")).toMatchObject({ content: {}, unsigned: { redacted_because: { event_id: "$r" } } });
    expect(stored("$m2")).toMatchObject({ content: { body: "secret" } });
    const update = roomUpdate(reduction, ROOM);
    expect(update.redacted.map(({ id }) => id as string)).toEqual(["$m1"]);
    expect(update.timeline.map(({ id }) => id as string)).toEqual(["$r"]);
    expect(update.redacted[0]?.json).toEqual(world.event("$m1").json);
  });

  test("[EVT-27] one of the same poll is stored redacted, and told of once", async () => {
    const reduction = await timeline(say("$m1"), redaction("$r", "$m1"));
    expect(stored("$m1")["content"]).toEqual({});
    const update = roomUpdate(reduction, ROOM);
    expect(update.redacted).toEqual([]);
    expect(update.timeline[0]?.json).toEqual(world.event("$m1").json);
  });

  test("[EVT-28] a redaction that comes first is applied when its event comes", async () => {
    await timeline(redaction("$r", "$m1"));
    expect(world.meta(ROOM).awaitedRedactions).toEqual([["$m1", "$r"]]);
    world.restart();
    await timeline(say("$m1"));
    expect(stored("$m1")).toMatchObject({ content: {}, unsigned: { redacted_because: { event_id: "$r" } } });
    expect(world.meta(ROOM).awaitedRedactions).toEqual([]);
    // Both in one poll, in the wrong order.
    await timeline(redaction("$r2", "$n"), stateEvent("$n", "m.room.name", "", { name: "Never seen" }));
    expect(world.meta(ROOM).name).toBeNull();
    expect(stored("$n")["content"]).toEqual({});
  });

  test("[EVT-29] redactions of events that never come are remembered within bounds", async () => {
    for (let n = 0; n < AWAITED_REDACTIONS_LIMIT + 3; n += 1) {
      await timeline(redaction(`$r${n}`, `$gone${n}`), redaction(`$again${n}`, `$gone${n}`));
    }
    const awaited = world.meta(ROOM).awaitedRedactions;
    expect(awaited).toHaveLength(AWAITED_REDACTIONS_LIMIT);
    expect(awaited.at(-1)).toEqual([`$gone${AWAITED_REDACTIONS_LIMIT + 2}`, `$again${AWAITED_REDACTIONS_LIMIT + 2}`]);
  });

  test("[EVT-30] an event of another room is not touched, and neither is the redaction itself", async () => {
    await start("!other:hs", "o");
    await timeline(redaction("$r", "$name-o"), redaction("$self", "$self"));
    expect(stored("$name-o")["content"]).toEqual({ name: "Named" });
    expect(world.meta("!other:hs").name).toBe("Named");
    expect(stored("$self")).not.toHaveProperty("unsigned");
  });

  test("[EVT-31] redacted state takes name, avatar, alias and children along in the same update", async () => {
    await timeline(
      stateEvent("$avatar", "m.room.avatar", "", { url: "mxc://a" }),
      stateEvent("$alias", "m.room.canonical_alias", "", { alias: "#a:hs" }),
      stateEvent("$end", "m.room.tombstone", "", { replacement_room: "!next:hs" }),
      stateEvent("$crypt", "m.room.encryption", "", { algorithm: "m.megolm.v1.aes-sha2" }),
    );
    world.restart();
    const reduction = await timeline(
      ...["$name-c", "$avatar", "$alias", "$end", "$crypt", "$create-c"].map((id) => redaction(`$r${id}`, id)),
    );
    expect(roomUpdate(reduction, ROOM).meta).toMatchObject({
      name: null,
      avatar: null,
      alias: null,
      successor: null,
      // Never taken back; and what a room is of is settled.
      isEncrypted: true,
      roomVersion: "9",
    });
  });

  test("[EVT-32] of state that is no longer current nothing changes but the event", async () => {
    await timeline(stateEvent("$new", "m.room.name", "", { name: "New" }));
    await timeline(redaction("$r", "$name-c"));
    expect(world.meta(ROOM).name).toBe("New");
    expect(stored("$name-c")["content"]).toEqual({});
  });

  test("[EVT-33] a member whose event is redacted loses name and avatar and keeps its place", async () => {
    await timeline(redaction("$r", "$alice-c"));
    expect(world.meta(ROOM)).toMatchObject({ joinedCount: 2 });
    expect(world.meta(ROOM).heroes.map(({ userId, displayName }) => [userId, displayName])).toEqual([
      [ALICE, null],
      [BOB, "Bob"],
    ]);
    await timeline(
      redaction("$r2", "$bob-c"),
      memberEvent("$bob2", BOB, "join", { name: "Robert", prevMembership: "join" }),
    );
    expect(world.meta(ROOM).heroes.map(({ displayName }) => displayName)).toEqual([null, "Robert"]);
    await timeline(
      memberEvent("$bob3", BOB, "join", { name: "Rob", prevMembership: "join" }),
      redaction("$r3", "$bob3"),
    );
    expect(world.meta(ROOM).heroes.map(({ displayName }) => displayName)).toEqual([null, null]);
  });

  test("[EVT-34] a redaction that comes again, or for the second time, changes nothing", async () => {
    await timeline(say("$m1"), redaction("$r", "$m1"));
    const before = world.event("$m1").json;
    const repeated = await timeline(redaction("$r", "$m1"));
    expect(repeated.transaction.redacted).toEqual([]);
    const second = await timeline(redaction("$r2", "$m1"));
    expect(second.transaction.redacted).toEqual([]);
    expect(world.event("$m1").json).toEqual(before);
  });

  test("[EVT-35] state of that type redacts nothing", async () => {
    await timeline(say("$m1"));
    await timeline({ ...redaction("$r", "$m1"), stateKey: "" });
    expect(stored("$m1")["content"]).toEqual({ body: "secret" });
  });

  test("[EVT-36] what other events repeat of a redacted one goes too: replaced content, bundled relations", async () => {
    const bundle = { "m.replace": { event_id: "$edit", content: { body: "secret" } } };
    const withUnsigned = (event: EventFields, unsigned: object): EventFields => ({
      ...event,
      json: bytesOf({ ...(JSON.parse(new TextDecoder().decode(event.json)) as object), unsigned }),
    });
    const edit = polledEvent("$edit", {
      content: { body: "secret", "m.relates_to": { rel_type: "m.replace", event_id: "$m1" } },
    });
    const renamed = stateEvent("$new", "m.room.name", "", { name: "New" });
    await timeline(
      withUnsigned(say("$m1"), { age: 1, "m.relations": bundle }),
      edit,
      withUnsigned(renamed, { prev_content: { name: "Named" }, replaces_state: "$name-c", age: 2 }),
    );
    world.restart();
    const reduction = await timeline(redaction("$r1", "$edit"), redaction("$r2", "$name-c"));
    expect(stored("$m1")).toMatchObject({ content: { body: "secret" }, unsigned: { age: 1 } });
    expect(stored("$new")).toMatchObject({ content: { name: "New" }, unsigned: { replaces_state: "$name-c", age: 2 } });
    for (const id of ["$m1", "$new"]) expect(JSON.stringify(stored(id)["unsigned"])).not.toMatch(/secret|Named/u);
    expect(
      roomUpdate(reduction, ROOM)
        .redacted.map(({ id }) => id as string)
        .sort(),
    ).toEqual(["$edit", "$m1", "$name-c", "$new"]);
    expect(world.meta(ROOM).name).toBe("New");
  });

  test("[EVT-37] a member whose earlier event is redacted keeps the name it has now", async () => {
    await timeline(memberEvent("$bob2", BOB, "join", { name: "Robert", prevMembership: "join" }));
    await timeline(redaction("$r", "$bob-c"));
    expect(world.meta(ROOM).heroes.map(({ displayName }) => displayName)).toEqual(["Alice", "Robert"]);
  });
});
