import { describe, expect, test } from "bun:test";
import { posUsesOf, withTokens } from "#src/http/pos-in-query.ts";
import type { RoomNid } from "#src/protocol/ids.ts";
import { encodePos } from "#src/protocol/pos.ts";

const POS = encodePos(
  { incarnation: "abc", seq: 3, streamPos: 77, generation: 5, behind: [1, 2] as RoomNid[] },
  () => "0123456789abcdefABCDEF",
);
const MESSAGES = "/_matrix/client/v3/rooms/!a%3Ab/messages";

describe("positions in the queries of forwarded requests", () => {
  test("[FWD-90] those that page through a room or what relates to an event name the side on which nothing is missed", () => {
    const sides = (target: string): unknown => posUsesOf("GET", target)?.uses.map(({ name, side }) => [name, side]);
    expect(sides(`${MESSAGES}?dir=b&from=${POS}&limit=5`)).toEqual([["from", "later"]]);
    expect(sides(`${MESSAGES}?dir=f&from=${POS}&to=${POS}`)).toEqual([
      ["from", "earlier"],
      ["to", "later"],
    ]);
    const relations = "/_matrix/client/v1/rooms/!a:b/relations/$e";
    expect(sides(`${relations}?to=${POS}`)).toEqual([["to", "earlier"]]);
    expect(sides(`${relations}/m.thread/m.room.message?from=${POS}`)).toEqual([["from", "later"]]);
    expect(posUsesOf("GET", `${MESSAGES}?from=${POS}`)).toMatchObject({ roomId: "!a:b", uses: [{ pos: POS }] });
  });

  test("[FWD-91] tokens of homeservers, other requests and other parameters are none", () => {
    const tokens = [
      "s72595_4483_1934",
      "t426-2633508_17_3",
      "s478_0_0_0_13.dl-0-496",
      "42",
      "",
      `${POS}!`,
      "a.1.2.3.short",
    ];
    for (const token of tokens)
      expect(posUsesOf("GET", `${MESSAGES}?dir=b&from=${encodeURIComponent(token)}`)).toBeNull();
    for (const target of [`${MESSAGES}?since=${POS}`, MESSAGES, `/_matrix/client/v3/sync?from=${POS}`])
      expect(posUsesOf("GET", target)).toBeNull();
    expect(posUsesOf("POST", `${MESSAGES}?from=${POS}`)).toBeNull();
    expect(posUsesOf("GET", `/_matrix/client/v3/rooms/%zz/messages?from=${POS}`)).toBeNull();
  });

  test("[FWD-92] only they are replaced, every other byte stays", () => {
    const target = `${MESSAGES}?dir=b&filter=%7B%22a%22:+1}&from=${POS}&&to&x=from`;
    expect(withTokens(target, new Map([["from", "s1 2"]]))).toBe(
      `${MESSAGES}?dir=b&filter=%7B%22a%22:+1}&from=s1%202&&to&x=from`,
    );
    expect(withTokens(target, new Map([["from", ""]]))).toBe(`${MESSAGES}?dir=b&filter=%7B%22a%22:+1}&&to&x=from`);
    expect(withTokens(target, new Map())).toBe(target);
  });
});
