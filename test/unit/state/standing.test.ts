import { expect, test } from "bun:test";
import type { Membership } from "#src/protocol/events.ts";
import type { RoomNid, UserId } from "#src/protocol/ids.ts";
import { join, leave, type MembershipFact } from "#src/state/standing.ts";

const ME = "@me:hs" as UserId;
const ROOM = 1 as RoomNid;
const fact = (membership: Membership, pos: number): MembershipFact => ({ membership, sender: ME, ts: pos, pos });

test("[MEM-23] a room that began as a direct chat is none for who left it and joins again by themselves", () => {
  const inside = { ...join(null, ME, ROOM, fact("join", 2)), isDirect: true };
  const outside = leave(inside, fact("leave", 5), 5, null);
  expect([outside.isDirect, outside.leftPos]).toEqual([false, 5]);
  expect(join(outside, ME, ROOM, fact("join", 9))).toMatchObject({ membership: "join", joinPos: 9, isDirect: false });
});
