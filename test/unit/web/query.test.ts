import { describe, expect, test } from "bun:test";
import { type ConnectionState, stickyPart, type ViewQuery, writeCall } from "#web/model/query.ts";
import { areSameRanges, rangesText, windowsFor } from "#web/model/windows.ts";

const QUERY: ViewQuery = { filters: {}, sort: "recency", windows: [[0, 19]], openRoom: null, wantsMembers: false };
const NEW: ConnectionState = { connId: "c", pos: null, remembered: null, subscribed: [], timeoutMs: 0 };
const listOf = (body: Record<string, unknown>): unknown => (body["lists"] as Record<string, unknown>)["rooms"];
const STATE = [
  ["m.room.create", ""],
  ["m.room.encryption", ""],
  ["m.room.topic", ""],
];

describe("writeCall", () => {
  test("[CNS-30] MSC3575 is told everything once, then only what scrolls", () => {
    const first = writeCall("msc3575", QUERY, NEW);
    expect(first.path).toBe("/_matrix/client/unstable/org.matrix.msc3575/sync?timeout=0");
    expect(first.body).toEqual({
      conn_id: "c",
      lists: {
        rooms: {
          ranges: [[0, 19]],
          sort: ["by_recency"],
          timeline_limit: 1,
          required_state: [...STATE, ["m.room.member", "$LAZY"]],
          filters: {},
        },
      },
      extensions: { typing: { enabled: true } },
    });
    const going = { ...NEW, pos: "p+1", remembered: stickyPart(QUERY), timeoutMs: 30_000 };
    const next = writeCall("msc3575", { ...QUERY, windows: [[0, 29]] }, going);
    expect(next.path).toEndWith("/sync?timeout=30000&pos=p%2B1");
    expect(next.body).toEqual({ conn_id: "c", lists: { rooms: { ranges: [[0, 29]] } } });
    // What the server has taken in of a request that was cut short nobody knows: everything is said again.
    expect(listOf(writeCall("msc3575", QUERY, { ...going, remembered: null }).body)).toHaveProperty("sort");
    expect(listOf(writeCall("msc3575", { ...QUERY, sort: "name" }, going).body)).toMatchObject({ sort: ["by_name"] });
  });

  test("[CNS-31] the simplified dialect is told everything each time, and knows no order", () => {
    const going = { ...NEW, pos: "p", remembered: stickyPart(QUERY), timeoutMs: 30_000 };
    const { path, body } = writeCall(
      "simplified",
      { ...QUERY, sort: "name", filters: { name: "x", isDm: true } },
      going,
    );
    expect(path).toStartWith("/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?");
    expect(listOf(body)).toEqual({
      ranges: [[0, 19]],
      timeline_limit: 1,
      required_state: [...STATE, ["m.room.member", "$LAZY"]],
      filters: { is_dm: true },
    });
  });

  test("[CNS-32] v4 has everything in the body, one range, and state by inclusion", () => {
    const going = { ...NEW, pos: "p", timeoutMs: 30_000 };
    const include = STATE.map(([type, key]) => ({ type, state_key: key }));
    const { path, body } = writeCall("v4", { ...QUERY, filters: { isInvite: true } }, going);
    expect(path).toBe("/_matrix/client/v4/sync");
    expect(body).toMatchObject({ conn_id: "c", pos: "p", timeout: 30_000 });
    expect(listOf(body)).toEqual({
      range: [0, 19],
      timeline_limit: 1,
      required_state: { include, lazy_members: true },
      filters: { is_invited: true },
    });
    expect(writeCall("v4", QUERY, NEW).body).not.toHaveProperty("pos");
  });

  test("[CNS-33] an open room is subscribed to, its members only when they are asked for; MSC3575 is told of rooms closed", () => {
    const open = { ...QUERY, openRoom: "!a" };
    const before = { ...NEW, subscribed: ["!b", "!a"] };
    const original = writeCall("msc3575", open, before).body;
    expect(original["unsubscribe_rooms"]).toEqual(["!b"]);
    expect(original["room_subscriptions"]).toEqual({
      "!a": { timeline_limit: 40, required_state: [...STATE, ["m.room.member", "$LAZY"]] },
    });
    expect(writeCall("simplified", open, before).body).not.toHaveProperty("unsubscribe_rooms");
    const all = { ...open, wantsMembers: true };
    expect(writeCall("simplified", all, NEW).body["room_subscriptions"]).toMatchObject({
      "!a": { required_state: [...STATE, ["m.room.member", "*"]] },
    });
    const v4 = writeCall("v4", all, NEW).body["room_subscriptions"];
    expect(v4).toMatchObject({
      "!a": { required_state: { include: expect.arrayContaining([{ type: "m.room.member" }]) } },
    });
    expect(JSON.stringify(v4)).not.toContain("lazy_members");
  });

  test("[CNS-34] every filter is written as its dialect has it", () => {
    const filters = { isEncrypted: false, isInvite: true, isSpace: true, isFavourite: true, space: "!s", name: "x" };
    const common = { is_encrypted: false, room_types: ["m.space"], tags: ["m.favourite"], spaces: ["!s"] };
    const written = (dialect: "msc3575" | "simplified" | "v4"): unknown =>
      listOf(writeCall(dialect, { ...QUERY, filters }, NEW).body);
    expect(written("msc3575")).toMatchObject({ filters: { ...common, is_invite: true, room_name_like: "x" } });
    expect(written("simplified")).toMatchObject({ filters: { ...common, is_invite: true } });
    expect(written("v4")).toMatchObject({ filters: { ...common, is_invited: true } });
    expect(JSON.stringify([written("simplified"), written("v4")])).not.toContain("room_name_like");
  });
});

describe("windowsFor", () => {
  test("[CNS-35] what is seen is asked for with a margin, and the top always", () => {
    expect(windowsFor("msc3575", { first: 0, last: 9 }, [])).toEqual([[0, 19]]);
    expect(windowsFor("msc3575", { first: 5, last: 15 }, [])).toEqual([[0, 29]]);
    expect(windowsFor("simplified", { first: 140, last: 152 }, [])).toEqual([
      [0, 19],
      [130, 169],
    ]);
    // Windows that would touch are one.
    expect(windowsFor("msc3575", { first: 30, last: 39 }, [])).toEqual([[0, 49]]);
  });

  test("[CNS-36] the window of v4 only grows", () => {
    const down = windowsFor("v4", { first: 140, last: 152 }, [[0, 19]]);
    expect(down).toEqual([[0, 169]]);
    expect(windowsFor("v4", { first: 0, last: 9 }, down)).toEqual([[0, 169]]);
  });

  test("[CNS-37] a few pixels change nothing", () => {
    const at = (first: number) => windowsFor("msc3575", { first, last: first + 12 }, []);
    expect(areSameRanges(at(141), at(146))).toBe(true);
    expect(areSameRanges(at(141), at(161))).toBe(false);
    expect(
      areSameRanges(
        [[0, 19]],
        [
          [0, 19],
          [30, 39],
        ],
      ),
    ).toBe(false);
    expect(rangesText(at(141))).toBe("0–19, 130–169");
  });
});
