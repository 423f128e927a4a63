import { describe, expect, test } from "bun:test";
import { asInSync } from "#src/homeserver/live-form.ts";

const formed = (text: string, type = "m.room.message"): string =>
  new TextDecoder().decode(asInSync(new TextEncoder().encode(text), { type }));

describe("asInSync", () => {
  test("[HIS-34] what pages of history add to an event is cut, every other byte stays", () => {
    expect(
      formed('{ "age":5, "type":"t","room_id":"!r:hs" ,"content":{"age":1,"room_id":"x"},"user_id":"@a:hs"}'),
    ).toBe('{ "type":"t" ,"content":{"age":1,"room_id":"x"}}');
    expect(formed('{"room_id":"!r:hs","age":1}')).toBe("{}");
    const untouched = '{"type":"t","content":{"n":1e2},"unsigned":{"age":5},"redacts":"$x"}';
    expect(formed(untouched)).toBe(untouched);
  });

  test("[HIS-35] what is repeated outside of unsigned is cut, and what is there alone stays", () => {
    const both = '{"prev_content":{"a":1},"replaces_state":"$x","unsigned":{"prev_content":{"a":1},"age":3}}';
    expect(formed(both)).toBe('{"replaces_state":"$x","unsigned":{"prev_content":{"a":1},"age":3}}');
    expect(formed('{"redacted_because":{},"unsigned":null}')).toBe('{"redacted_because":{},"unsigned":null}');
  });

  test("[HIS-36] a create event that names its room by itself keeps that name", () => {
    const create = (version: string): string =>
      `{"room_id":"!r","type":"m.room.create","content":{"room_version":"${version}"}}`;
    expect(formed(create("12"), "m.room.create")).toBe(create("12"));
    expect(formed(create("org.example.new"), "m.room.create")).toBe(create("org.example.new"));
    expect(formed(create("11"), "m.room.create")).toBe('{"type":"m.room.create","content":{"room_version":"11"}}');
    expect(formed('{"room_id":"!r","content":{}}', "m.room.create")).toBe('{"content":{}}');
  });
});
