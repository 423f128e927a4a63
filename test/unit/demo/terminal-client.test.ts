import { describe, expect, test } from "bun:test";
import type { Json } from "#src/demo/homeserver/wire.ts";
import { renderRows, RoomListView } from "#src/demo/room-list-view.ts";
import { TerminalClient } from "#src/demo/terminal-client.ts";
import { ManualTime } from "./manual-time.ts";

const list = (count: number, ...ops: Json[]): Json => ({ lists: { all: { count, ops } } });
const sync = (...roomIds: string[]): Json => ({ op: "SYNC", range: [0, roomIds.length - 1], room_ids: roomIds });
const remove = (index: number): Json => ({ op: "DELETE", index });
const insert = (index: number, roomId: string): Json => ({ op: "INSERT", index, room_id: roomId });

function orderOf(view: RoomListView): string {
  return Array.from({ length: 12 }, (_, index) => view.order.get(index) ?? "-")
    .join("")
    .replace(/-+$/u, "");
}

describe("RoomListView", () => {
  const cases: [string, Json[], string][] = [
    ["up", [remove(5), insert(0, "f")], "fabcde"],
    ["down", [remove(0), insert(4, "a")], "bcdeaf"],
    ["in place", [remove(2), insert(2, "x")], "abxdef"],
    ["pushed in at the end", [remove(6), insert(6, "g")], "abcdefg"],
    ["gone for good", [remove(1)], "acdef"],
    ["two moves", [remove(5), insert(0, "f"), remove(5), insert(0, "e")], "efabcd"],
    ["invalidated", [{ op: "INVALIDATE", range: [2, 4] }], "ab---f"],
    ["the last room", [remove(5)], "abcde"],
  ];
  test.each(cases)("[DEMO-100] list operations: %s", (_name, ops, expected) => {
    const view = new RoomListView();
    view.apply(list(6, sync("a", "b", "c", "d", "e", "f")));
    view.apply(list(6, ...ops));
    expect(orderOf(view)).toBe(expected);
  });

  test("[DEMO-101] rooms are shown with name, unread number, mark and who types", () => {
    const view = new RoomListView();
    view.apply({
      ...list(3, sync("a", "b", "c")),
      rooms: {
        a: {
          initial: true,
          name: "Tea",
          notification_count: 3,
          highlight_count: 1,
          timeline: [{ type: "m.room.message", sender: "@ada:x", content: { body: "hello" } }],
        },
        b: { initial: true, name: "Invited", invite_state: [{}] },
        c: { initial: true, name: "Quiet" },
      },
    });
    const [tea, invited, quiet] = renderRows(view, 10, 100);
    expect(tea).toMatch(/^ {2}1 {2}Tea +3! {2}Ada: hello$/u);
    expect(invited).toMatch(/^ {2}2 {2}Invited +\+ {2}invites you$/u);
    expect(quiet?.trimEnd()).toBe("  3  Quiet");
    const typing = { rooms: { c: { type: "m.typing", content: { user_ids: ["@bo:x"] } } } };
    const lines = view.apply({ extensions: { typing }, rooms: { a: { highlight_count: 0, notification_count: 0 } } });
    expect(lines).toEqual([]);
    expect(renderRows(view, 10, 100)[2]).toContain("Bo typing …");
    expect(renderRows(view, 10, 100)[0]).not.toContain("!");
    for (const row of renderRows(view, 10, 30)) expect(row.length).toBeLessThan(30);
  });
});

describe("TerminalClient", () => {
  interface Rig {
    written: string[];
    asked: (string | null)[];
    done: Promise<void>;
    time: ManualTime;
    stop: () => void;
  }

  /** Plays answers in order, then holds the request until the end; resolves `done` when the client ended. */
  function run(answers: ({ status: number; body: unknown } | "lost")[], isTerminal: boolean): Rig {
    const time = new ManualTime();
    const written: string[] = [];
    const asked: (string | null)[] = [];
    const stopping = new AbortController();
    const client = new TerminalClient({
      timers: time,
      isTerminal,
      columns: () => 80,
      write: (text) => void written.push(text),
      post: async (pos) => {
        asked.push(pos);
        const answer = answers.shift();
        if (answer === "lost") throw new Error("connection refused");
        if (answer !== undefined) return answer;
        stopping.abort();
        throw new Error("aborted");
      },
    });
    return { written, asked, done: client.run(stopping.signal), time, stop: () => stopping.abort() };
  }

  const first = {
    status: 200,
    body: { ...list(2, sync("a", "b")), pos: "1", rooms: { a: { name: "Tea" }, b: { name: "Cake" } } },
  };
  const second = {
    status: 200,
    body: {
      ...list(2, remove(1), insert(0, "b")),
      pos: "2",
      rooms: { b: { timeline: [{ type: "m.room.message", sender: "@ada:x", content: { body: "hi" } }] } },
    },
  };

  test("[DEMO-102] without a terminal it prints the list once, then a line for each change", async () => {
    const { written, asked, done } = run([first, second], false);
    await done;
    expect(asked).toEqual([null, "1", "2"]);
    expect(written.map((line) => line.trim().replace(/\s+/gu, " "))).toEqual(["1 Tea", "2 Cake", "1 Cake Ada: hi"]);
  });

  test("[DEMO-103] on a terminal it redraws in place", async () => {
    const { written, done } = run([first, second], true);
    await done;
    expect(written).toHaveLength(2);
    expect(written[0]?.startsWith("\u001B[J")).toBe(true);
    expect(written[1]?.startsWith("\u001B[3A\r\u001B[J")).toBe(true);
    expect(written[1]?.indexOf("Cake")).toBeLessThan(written[1]?.indexOf("Tea") ?? 0);
  });

  test("[DEMO-104] an unknown pos starts over at once; other trouble is told once and tried again", async () => {
    const unknown = { status: 400, body: { errcode: "M_UNKNOWN_POS" } };
    const { asked, done } = run([first, unknown, first], false);
    await done;
    expect(asked).toEqual([null, "1", null, "1"]);

    const broken = { status: 502, body: {} };
    const again = run([first, "lost", "lost", broken, second], false);
    for (let attempt = 0; attempt < 3; attempt += 1) {
      while (again.time.pendingCount === 0) await Promise.resolve();
      again.time.advance(1000);
    }
    await again.done;
    expect(again.asked).toEqual([null, "1", "1", "1", "1", "2"]);
    expect(again.written.filter((line) => line.includes("trying again"))).toEqual([
      "(no answer, trying again)\n",
      "(HTTP 502, trying again)\n",
    ]);
  });

  test("[DEMO-105] stopping ends it in the middle of a pause", async () => {
    const { done, time, stop } = run(["lost"], false);
    while (time.pendingCount === 0) await Promise.resolve();
    stop();
    await done;
    expect(time.pendingCount).toBe(0);
  });
});
