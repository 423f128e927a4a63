import { describe, expect, test } from "bun:test";
import { NaiveClient, NaiveList, stateKeyOf, type WireResponse, type WireRoom } from "#test/support/naive-client.ts";

const response = (rooms: Record<string, WireRoom>, lists: WireResponse["lists"] = {}): WireResponse => ({
  pos: "1",
  lists,
  rooms,
});
const message = (event_id: string) => ({ type: "m.room.message", event_id });

describe("NaiveList", () => {
  test("[NVC-1] fills, clears, moves within and shrinks", () => {
    const list = new NaiveList<string>();
    const letters = (): string =>
      list
        .window([[0, 9]], 9)
        .map((room) => room ?? "-")
        .join("");
    list.apply([{ op: "SYNC", range: [0, 4], rooms: ["a", "b", "c", "d", "e"] }]);
    expect(letters()).toBe("abcde----");
    list.apply([
      { op: "DELETE", index: 3 },
      { op: "INSERT", index: 1, room: "d" },
    ]);
    expect(letters()).toBe("adbce----");
    list.apply([
      { op: "DELETE", index: 0 },
      { op: "INSERT", index: 4, room: "x" },
    ]);
    expect(letters()).toBe("dbcex----");
    list.apply([
      { op: "DELETE", index: 1 },
      { op: "DELETE", index: 0 },
    ]);
    expect(letters()).toBe("cex------");
    list.apply([{ op: "INVALIDATE", range: [1, 1] }]);
    expect(letters()).toBe("c-x------");
    expect(() => list.apply([{ op: "INSERT", index: 0, room: "y" }])).toThrow("without a DELETE");
  });
});

describe("NaiveClient", () => {
  test("[NVC-2] initial replaces, deltas add", () => {
    const client = new NaiveClient();
    const name = { type: "m.room.name", state_key: "", event_id: "$name" };
    client.apply(
      response({ "!a": { initial: true, name: "A", is_dm: true, timeline: [message("$1")], required_state: [name] } }),
    );
    client.apply(response({ "!a": { notification_count: 2, timeline: [message("$2")] } }));
    const room = client.rooms.get("!a");
    expect(room?.head).toEqual({ name: "A", is_dm: true, notification_count: 2 });
    expect(room?.timeline.map((event) => event.event_id)).toEqual(["$1", "$2"]);
    expect(room?.state.get(stateKeyOf("m.room.name", ""))).toBe(name);
    client.apply(response({ "!a": { initial: true, name: "B" } }));
    expect(client.rooms.get("!a")).toEqual({ head: { name: "B" }, timeline: [], state: new Map() });
    expect(client.problems).toEqual([]);
  });

  test("[NVC-3] lists follow the wire, and go when they are not mentioned", () => {
    const client = new NaiveClient();
    const rooms = { "!a": { initial: true }, "!b": { initial: true } };
    const ops = [{ op: "SYNC" as const, range: [0, 1] as [number, number], room_ids: ["!a", "!b"] }];
    client.apply(response(rooms, { list: { count: 2, ops }, other: { count: 7 } }));
    expect(client.window("list", [[0, 9]])).toEqual(["!a", "!b"]);
    client.apply(response({}, { list: { count: 1, ops: [{ op: "DELETE", index: 0 }] } }));
    expect(client.window("list", [[0, 9]])).toEqual(["!b"]);
    expect([...client.lists.keys()]).toEqual(["list"]);
    expect(client.problems).toEqual([]);
  });

  test("[NVC-4] notes what no server should send", () => {
    const client = new NaiveClient();
    client.apply(
      response(
        {
          "!a": { timeline: [message("$1")] },
          "!b": { initial: true, timeline: [message("$2"), message("$2")] },
          "!c": { notification_count: 1 },
        },
        { list: { count: 1, ops: [{ op: "SYNC", range: [0, 0], room_ids: ["!ghost"] }] } },
      ),
    );
    expect(client.problems).toEqual([
      "!a has events before its initial entry",
      "!b got $2 twice",
      "list list names !ghost, of which nothing was sent",
    ]);
  });
});
