import { describe, expect, test } from "bun:test";
import type { RoomId } from "#src/protocol/ids.ts";
import { readRoomState } from "#src/homeserver/state-reader.ts";

const read = (text: string): ReturnType<typeof readRoomState> =>
  readRoomState(new TextEncoder().encode(text), "!r:hs" as RoomId);

describe("readRoomState", () => {
  test("[UPS-25] reads every event, byte for byte; what is malformed is set aside", () => {
    const event =
      '{ "type":"m.room.name","event_id":"$1","state_key":"","sender":"@a:hs","content":{"name":"\\u0041"}}';
    const result = read(` [${event}, {"type":"m.room.topic"}, 7] `);
    if (typeof result === "string") throw new Error(result);
    expect(result.state.map(({ json }) => new TextDecoder().decode(json))).toEqual([event]);
    expect(result.rejected.map(({ roomId, section, reason }) => [roomId, section, reason])).toEqual([
      ["!r:hs", "state", "no event id"],
      ["!r:hs", "state", "not an object"],
    ]);
  });

  test("[UPS-26] takes only a complete list", () => {
    for (const text of ["", "null", "{}", "[{}", '[{"a":1},', "[] x"]) expect(typeof read(text)).toBe("string");
    expect(read("[]")).toEqual({ state: [], rejected: [] });
  });
});
