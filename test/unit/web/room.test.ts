import { describe, expect, test } from "bun:test";
import { eventText, previewText } from "#web/model/event-text.ts";
import { applyUpdate, displayName, membersOf, prependHistory, type Room } from "#web/model/room.ts";
import type { MatrixEvent, RoomUpdate } from "#web/model/wire.ts";

const message = (id: string, body = id, more: Partial<MatrixEvent> = {}): MatrixEvent => ({
  event_id: id,
  type: "m.room.message",
  sender: "@bo:hs",
  content: { msgtype: "m.text", body },
  ...more,
});
const state = (type: string, stateKey: string, content: Record<string, unknown>): MatrixEvent => ({
  event_id: `$${type}${stateKey}`,
  type,
  state_key: stateKey,
  sender: "@bo:hs",
  content,
});
const member = (userId: string, membership: string, displayname?: string): MatrixEvent =>
  state("m.room.member", userId, { membership, ...(displayname === undefined ? {} : { displayname }) });

const roomOf = (...updates: RoomUpdate[]): Room => {
  let room: Room | undefined;
  for (const update of updates) room = applyUpdate(room, "!r", update);
  if (room === undefined) throw new Error("no update");
  return room;
};
const ids = (room: Room): unknown[] => room.timeline.map(({ event_id: id }) => id);

describe("applyUpdate", () => {
  test("[CNS-40] news are added once; a gap, an expansion and a new beginning take the place of what was there", () => {
    const first: RoomUpdate = { initial: true, timeline: [message("$1"), message("$2")], prev_batch: "b1" };
    const going = roomOf(first, { timeline: [message("$2"), message("$3")] });
    expect([ids(going), going.prevBatch]).toEqual([["$1", "$2", "$3"], "b1"]);
    for (const flag of ["initial", "limited", "expanded_timeline", "unstable_expanded_timeline"] as const) {
      const anew = roomOf(first, { [flag]: true, timeline: [message("$8"), message("$9")], prev_batch: "b8" });
      expect([flag, ids(anew), anew.prevBatch]).toEqual([flag, ["$8", "$9"], "b8"]);
    }
    expect(ids(roomOf(first, { notification_count: 2 }))).toEqual(["$1", "$2"]);
  });

  test("[CNS-41] names: what was told, what the state says, heroes; null takes a name away", () => {
    expect(roomOf({ initial: true, name: "Tea" }, { timeline: [message("$1")] }).name).toBe("Tea");
    const named = state("m.room.name", "", { name: "From state" });
    expect(roomOf({ initial: true, required_state: [named] }).name).toBe("From state");
    const heroes = [{ user_id: "@a:hs", displayname: "Ada" }, { user_id: "@b:hs" }];
    expect(roomOf({ initial: true, heroes }).name).toBe("Ada, @b:hs");
    expect(roomOf({ initial: true, name: "Tea" }, { name: null, heroes }).name).toBe("Ada, @b:hs");
    expect(roomOf({ initial: true }).name).toBe("Empty room");
  });

  test("[CNS-42] an invitation is one until there is more, and says who invites", () => {
    const invite: RoomUpdate = { initial: true, invite_state: [member("@me:hs", "invite")] };
    expect(roomOf(invite)).toMatchObject({ isInvite: true, inviter: "@bo:hs" });
    expect(previewText(roomOf(invite))).toBe("@bo:hs invites you");
    expect(roomOf({ initial: true, stripped_state: [member("@me:hs", "invite")], membership: "invite" }).isInvite).toBe(
      true,
    );
    expect(roomOf(invite, { initial: true, required_state: [member("@me:hs", "join")], timeline: [] }).isInvite).toBe(
      false,
    );
    expect(roomOf(invite, { notification_count: 1 }).isInvite).toBe(true);
  });

  test("[CNS-43] flags and counts hold until they are told anew", () => {
    const required = [
      state("m.room.encryption", "", { algorithm: "a" }),
      state("m.room.create", "", { type: "m.space" }),
    ];
    const room = roomOf(
      { initial: true, is_dm: true, joined_count: 3, required_state: required, highlight_count: 1 },
      { notification_count: 4, timeline: [state("m.room.topic", "", { topic: "T" })] },
    );
    expect(room).toMatchObject({
      isDm: true,
      isEncrypted: true,
      isSpace: true,
      joinedCount: 3,
      highlightCount: 1,
      notificationCount: 4,
      topic: "T",
    });
    // A room that begins anew with its state has that state alone; one that only tells its timeline anew keeps it.
    expect(roomOf({ initial: true, required_state: required }, { initial: true, required_state: [] }).isEncrypted).toBe(
      true,
    );
    const other = [state("m.room.create", "", {})];
    expect(
      roomOf({ initial: true, required_state: required }, { initial: true, required_state: other }).isEncrypted,
    ).toBe(false);
    expect(
      roomOf({ initial: true, required_state: required }, { initial: true, timeline: [message("$1")] }).isSpace,
    ).toBe(true);
  });

  test("[CNS-44] what was taken back is not shown", () => {
    const redaction = { event_id: "$r", type: "m.room.redaction", sender: "@bo:hs", redacts: "$1", content: {} };
    const room = roomOf({ initial: true, timeline: [message("$1", "secret")] }, { timeline: [redaction] });
    expect(eventText(room, room.timeline[0] ?? redaction)).toEqual({ kind: "message", text: "Message deleted" });
    expect(JSON.stringify(room.timeline)).not.toContain("secret");
  });

  test("[CNS-45] older messages come before, and nothing twice", () => {
    const room = roomOf({ initial: true, timeline: [message("$3")], prev_batch: "b3" });
    const older = prependHistory(room, [message("$1"), message("$2"), message("$3")], null);
    expect([ids(older), older.prevBatch]).toEqual([["$1", "$2", "$3"], null]);
  });

  test("[CNS-46] members are those who are there or invited, by name", () => {
    const all = [member("@z:hs", "join", "Ada"), member("@b:hs", "invite"), member("@c:hs", "leave"), message("$1")];
    const room = roomOf({ initial: true, required_state: all });
    expect(membersOf(room).map(({ name }) => name)).toEqual(["Ada", "b"]);
    expect(displayName(room, "@nobody:hs")).toBe("nobody");
  });
});

describe("eventText", () => {
  test("[CNS-47] events are said in words, and nothing is shown of what is encrypted", () => {
    const room = roomOf({ initial: true, required_state: [member("@bo:hs", "join", "Bo")] });
    const said = (type: string, content: Record<string, unknown>, more: Partial<MatrixEvent> = {}): string =>
      eventText(room, { type, sender: "@bo:hs", content, ...more }).text;
    expect(said("m.room.message", { msgtype: "m.text", body: "hi" })).toBe("hi");
    expect(said("m.room.message", { msgtype: "m.emote", body: "waves" })).toBe("Bo waves");
    expect(said("m.room.message", { msgtype: "m.image", body: "a.png" })).toBe("Picture: a.png");
    expect(said("m.room.encrypted", { ciphertext: "c" })).toBe("Encrypted: this console has no keys");
    const of = (membership: string): string => said("m.room.member", { membership }, { state_key: "@al:hs" });
    expect(["join", "invite", "knock", "ban", "leave"].map(of)).toEqual([
      "al is here",
      "Bo invited al",
      "al asks to be let in",
      "Bo banned al",
      "Bo removed al",
    ]);
    expect(said("m.room.member", { membership: "leave" }, { state_key: "@bo:hs" })).toBe("Bo left");
    expect(said("org.example.other", {})).toBe("Bo: org.example.other");
    expect(previewText(roomOf({ initial: true, timeline: [message("$1", "tea?")] }))).toBe("bo: tea?");
  });
});
