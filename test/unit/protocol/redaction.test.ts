import { describe, expect, test } from "bun:test";
import { redactEvent, redactionTarget } from "#src/protocol/redaction.ts";

const encode = (text: string): Uint8Array => new TextEncoder().encode(text);
const BECAUSE = '{"type":"m.room.redaction","content":{"reason":"x"},"event_id":"$r"}';
const redacted = (json: string, version: string): string | null => {
  const bytes = redactEvent(encode(json), version, encode(BECAUSE));
  return bytes === null ? null : new TextDecoder().decode(bytes);
};
const content = (type: string, inside: object, version: string): unknown =>
  JSON.parse(redacted(JSON.stringify({ type, content: inside }), version) ?? "null").content;

describe("redactEvent", () => {
  test("[EVT-20] keeps what the algorithm keeps byte for byte, and says why", () => {
    const json =
      '{ "type" : "m.room.message","sender":"@a:hs" , "content":{"body":"x","n":1.0},"origin_server_ts":1e3,"extra":9007199254740993,' +
      '"event_id":"$e","hashes":{"sha256":"\\u003c"},"depth":90071992547409931,"unsigned":{"age":5,"prev_content":{}}}';
    expect(redacted(json, "9")).toBe(
      '{"type" : "m.room.message","sender":"@a:hs","content":{},"origin_server_ts":1e3,"event_id":"$e",' +
        `"hashes":{"sha256":"\\u003c"},"depth":90071992547409931,"unsigned":{"redacted_because":${BECAUSE}}}`,
    );
  });

  test("[EVT-21] members of an event that only older versions keep", () => {
    const json = '{"origin":"hs","membership":"join","prev_state":[],"prev_events":[],"redacts":"$x","content":7}';
    const end = `,"unsigned":{"redacted_because":${BECAUSE}}}`;
    for (const version of ["1", "10", "unknown", "", "0"]) {
      expect(redacted(json, version)).toBe(
        `{"origin":"hs","membership":"join","prev_state":[],"prev_events":[],"content":{}${end}`,
      );
    }
    for (const version of ["11", "12"]) expect(redacted(json, version)).toBe(`{"prev_events":[],"content":{}${end}`);
  });

  const MEMBER = {
    membership: "join",
    displayname: "A",
    join_authorised_via_users_server: "@b:hs",
    third_party_invite: { display_name: "A", signed: { token: "t" } },
  };
  const LEVELS = { ban: 1, events: { a: 2 }, invite: 3, kick: 4, notifications: { room: 5 }, users_default: 6 };
  test.each([
    ["m.room.member", "1", MEMBER, { membership: "join" }],
    ["m.room.member", "8", MEMBER, { membership: "join" }],
    ["m.room.member", "9", MEMBER, { membership: "join", join_authorised_via_users_server: "@b:hs" }],
    [
      "m.room.member",
      "11",
      MEMBER,
      {
        membership: "join",
        join_authorised_via_users_server: "@b:hs",
        third_party_invite: { signed: { token: "t" } },
      },
    ],
    ["m.room.create", "10", { creator: "@a:hs", type: "m.space" }, { creator: "@a:hs" }],
    ["m.room.create", "11", { room_version: "11", type: "m.space" }, { room_version: "11", type: "m.space" }],
    ["m.room.join_rules", "7", { join_rule: "restricted", allow: [1] }, { join_rule: "restricted" }],
    ["m.room.join_rules", "8", { join_rule: "restricted", allow: [1] }, { join_rule: "restricted", allow: [1] }],
    ["m.room.power_levels", "10", LEVELS, { ban: 1, events: { a: 2 }, kick: 4, users_default: 6 }],
    ["m.room.power_levels", "11", LEVELS, { ban: 1, events: { a: 2 }, invite: 3, kick: 4, users_default: 6 }],
    ["m.room.aliases", "5", { aliases: ["#a:hs"], x: 1 }, { aliases: ["#a:hs"] }],
    ["m.room.aliases", "6", { aliases: ["#a:hs"] }, {}],
    ["m.room.history_visibility", "1", { history_visibility: "shared", x: 1 }, { history_visibility: "shared" }],
    ["m.room.redaction", "10", { redacts: "$x", reason: "r" }, {}],
    ["m.room.redaction", "11", { redacts: "$x", reason: "r" }, { redacts: "$x" }],
    ["m.room.name", "11", { name: "x" }, {}],
    ["", "11", { name: "x" }, {}],
  ])("[EVT-22] content of %s in version %s", (type, version, before, after) => {
    expect(content(type, before, version)).toEqual(after);
  });

  test("[EVT-23] one that is redacted already stays as the homeserver sent it", () => {
    expect(redacted('{"content":{},"unsigned":{"redacted_because":{"event_id":"$other"}}}', "11")).toBeNull();
    expect(redacted('{"content":{},"unsigned":{"redacted_because":null}}', "11")).not.toBeNull();
    expect(redacted('{"content":{"redacted_because":{}},"unsigned":{}}', "11")).not.toBeNull();
  });

  test("[EVT-24] of a name that comes twice the last counts, escapes and odd shapes included", () => {
    const end = `,"unsigned":{"redacted_because":${BECAUSE}}}`;
    expect(redacted('{"content":{"membership":"a"},"type":"m.room.member","content":{"membership":"b"}}', "11")).toBe(
      `{"type":"m.room.member","content":{"membership":"b"}${end}`,
    );
    expect(redacted('{"\\u0074ype":"m.room.name","content":{"n":"}],\\"{"}}', "11")).toBe(
      `{"\\u0074ype":"m.room.name","content":{}${end}`,
    );
    expect(redacted("{}", "11")).toBe(`{"unsigned":{"redacted_because":${BECAUSE}}}`);
  });
});

describe("redactionTarget", () => {
  const target = (event: object, version: string): string | null =>
    redactionTarget(encode(JSON.stringify(event)), version);
  test("[EVT-25] is named where the room version says", () => {
    const both = { redacts: "$top", content: { redacts: "$inside" } };
    expect(["2", "10", "11", "12", "1", "unknown"].map((version) => target(both, version))).toEqual([
      "$top",
      "$top",
      "$inside",
      "$inside",
      "$top",
      "$top",
    ]);
    expect(["2", "10", "1", ""].map((version) => target({ content: { redacts: "$inside" } }, version))).toEqual([
      null,
      null,
      "$inside",
      "$inside",
    ]);
    expect(target({ redacts: "$top", content: {} }, "11")).toBeNull();
    expect(target({ redacts: 7, content: null }, "1")).toBeNull();
  });
});
