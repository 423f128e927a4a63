import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { Session } from "#test/support/homeserver.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import { ALICE, BOB, idsOf, LIST, ROOM, RoomStage } from "#test/support/room-stage.ts";

let stage: RoomStage;
let alice: Session;
beforeEach(async () => {
  stage = await RoomStage.start();
});
afterEach(() => stage.stop());

function open(timeline: WireEvent[], more: WireEvent[] = [], version = "10"): void {
  const state = [
    stage.create({ room_version: version }),
    stage.member(ALICE),
    stage.member(BOB, "join", { displayname: "Bob" }),
  ];
  alice = stage.front.account("alice", stage.joins({ state: [...state, ...more], timeline, prevBatch: "p" }));
}

const news = (...timeline: WireEvent[]) => stage.front.poll(alice, stage.joins({ timeline }));
const redaction = (of: WireEvent, place: "top" | "content" = "top") =>
  place === "top"
    ? stage.event("m.room.redaction", { reason: "x" }, undefined, { redacts: of.event_id })
    : stage.event("m.room.redaction", { redacts: of.event_id });
const everything = { lists: { all: { ...LIST, required_state: [["*", "*"]] } } };
const content = (room: Record<string, unknown>, event: WireEvent): unknown =>
  (room["timeline"] as WireEvent[]).find(({ event_id }) => event_id === event.event_id)?.["content"];

describe("redactions", () => {
  test("[EVT-50] are told as events, and from then on what they redacted is shown redacted", async () => {
    const [secret, other] = [stage.say("secret"), stage.say("other")];
    open([secret, other]);
    await stage.first(alice);
    const event = redaction(secret);
    await news(event);
    expect(stage.room(await stage.next(alice))).toMatchObject({ timeline: [event], num_live: 1 });
    const room = stage.room(await stage.first(alice));
    const { content: _, ...rest } = secret;
    expect((room["timeline"] as WireEvent[])[0]).toEqual({
      ...rest,
      content: {},
      unsigned: { redacted_because: event },
    });
    expect(content(room, other)).toEqual(other["content"]);
    expect(room["prev_batch"]).toBe("p");
    expect(idsOf(room["timeline"] as WireEvent[])).toEqual(idsOf([secret, other, event]));
  });

  test("[EVT-51] are kept through a restart of everything", async () => {
    const secret = stage.say("secret");
    open([secret]);
    await stage.first(alice);
    await news(redaction(secret));
    await stage.front.node.nodes.restartHost("sync");
    await stage.front.node.nodes.restartHost("ingest");
    expect(content(stage.room(await stage.first(alice)), secret)).toEqual({});
  });

  test("[EVT-52] name their target in the content from version 11 on", async () => {
    const [one, two] = [stage.say("one"), stage.say("two")];
    open([one, two], [], "11");
    await stage.first(alice);
    await news(redaction(one, "content"), redaction(two, "top"));
    const room = stage.room(await stage.first(alice));
    expect([content(room, one), content(room, two)]).toEqual([{}, two["content"]]);
  });

  test("[EVT-53] of the room's name and avatar are seen in the same answer, and in the state", async () => {
    const name = stage.event("m.room.name", { name: "Named" }, "");
    const avatar = stage.event("m.room.avatar", { url: "mxc://a" }, "");
    open([stage.say("x")], [name, avatar]);
    expect(stage.room(await stage.first(alice))).toMatchObject({ name: "Named", avatar: "mxc://a" });
    await news(redaction(name), redaction(avatar));
    expect(stage.room(await stage.next(alice))).toMatchObject({ name: "Bob", avatar: null, num_live: 2 });
    const state = stage.room(await stage.first(alice, everything))["required_state"] as WireEvent[];
    for (const { event_id } of [name, avatar]) {
      expect(state.find((event) => event.event_id === event_id)?.["content"]).toEqual({});
    }
  });

  test("[EVT-54] of a member leave the membership and take the name", async () => {
    const bob = stage.member(BOB, "join", { displayname: "Robert" });
    open([bob]);
    expect(stage.room(await stage.first(alice))["name"]).toBe("Robert");
    await news(redaction(bob));
    const room = stage.room(await stage.next(alice));
    expect([room["name"], room["joined_count"]]).toEqual([BOB, undefined]);
    expect(content(stage.room(await stage.first(alice)), bob)).toEqual({ membership: "join" });
  });

  test("[EVT-55] in another room do nothing, and ones that name nothing neither", async () => {
    const secret = stage.say("secret");
    open([secret]);
    await stage.first(alice);
    const roomId = "!elsewhere:test";
    const state = [stage.create(), stage.member(ALICE)];
    const odd = [redaction(secret), redaction(stage.say("never sent")), stage.event("m.room.redaction", {})];
    await stage.front.poll(alice, stage.joins({ roomId, state, timeline: odd }));
    expect(content(stage.room(await stage.first(alice)), secret)).toEqual(secret["content"]);
    expect(stage.room(await stage.first(alice), roomId)["timeline"]).toHaveLength(3);
  });

  test("[EVT-56] that come before their event, or with it, redact it all the same", async () => {
    open([stage.say("x")]);
    await stage.first(alice);
    const [early, together] = [stage.say("early"), stage.say("together")];
    await news(redaction(early));
    await news(early, together, redaction(together));
    const room = stage.room(await stage.next(alice));
    expect([content(room, early), content(room, together)]).toEqual([{}, {}]);
  });
});

test("[EVT-57] what of an event belongs to one user is shown to no other, in events inside of it neither", async () => {
  const personal = { transaction_id: "t1", membership: "join", "io.element.msc4115.membership": "join" };
  const inside = { ...stage.say("reply", ALICE), unsigned: { ...personal, age: 5 } };
  const relations = {
    "m.thread": { count: 1, current_user_participated: true, latest_event: inside },
    "m.replace": inside,
  };
  const event = {
    ...stage.say("mine", ALICE),
    unsigned: { ...personal, "m.relations": relations, redacted_because: inside },
  };
  open([event]);
  const bob = stage.front.account("bob", stage.joins({ timeline: [event] }));
  await stage.first(alice);
  const seen = JSON.stringify((await stage.first(bob)).rooms[ROOM]);
  for (const name of [...Object.keys(personal), "current_user_participated"]) {
    expect(seen).not.toContain(name === "membership" ? '"unsigned":{"membership"' : name);
  }
  expect(seen).toContain('"age":5');
  expect((await stage.first(alice)).rooms[ROOM]?.timeline?.[0]).toMatchObject({ unsigned: { transaction_id: "t1" } });
});
