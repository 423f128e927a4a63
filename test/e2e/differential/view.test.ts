import { expect, test } from "bun:test";
import { currentPage } from "#test/support/generated-docs.ts";
import type { WireAnswer, Wish } from "#test/support/simplified-connection.ts";
import { differencesPage } from "./page.ts";
import { differencesOf } from "./rig.ts";
import { Viewer } from "./view.ts";

const ROOM = "!room:localhost";
const WISH: Wish = {
  lists: { all: { ranges: [[0, 1]], timeline_limit: 2, required_state: [] } },
  room_subscriptions: {},
  extensions: {},
};

const event = (id: string): Record<string, unknown> => ({
  event_id: id,
  type: "m.room.message",
  sender: "@bob:localhost",
  origin_server_ts: 5,
  content: { body: "text" },
  unsigned: { age: 7, prev_content: { body: "before" } },
});

const ANSWER = {
  pos: "5/s1",
  lists: { all: { count: 7, ops: [{ op: "SYNC", range: [0, 1], room_ids: [ROOM, "!other:localhost"] }] } },
  rooms: {
    [ROOM]: {
      initial: true,
      name: "name",
      avatar: "mxc://a",
      heroes: [{ user_id: "@h:localhost", displayname: "H" }],
      is_dm: true,
      joined_count: 2,
      invited_count: 1,
      bump_stamp: 12,
      limited: true,
      num_live: 1,
      prev_batch: "token",
      notification_count: 0,
      highlight_count: 0,
      timeline: [event("$a"), event("$b")],
      required_state: [{ ...event("$c"), type: "m.room.topic", state_key: "" }],
    },
    "!other:localhost": {
      initial: true,
      bump_stamp: 3,
      invite_state: [{ type: "m.room.name", state_key: "", sender: "@b", content: { name: "n" } }],
    },
  },
  extensions: {
    to_device: { next_batch: "7", events: [{ type: "t", sender: "@b", content: { a: 1 } }] },
    e2ee: {
      device_one_time_keys_count: { signed_curve25519: 4 },
      device_unused_fallback_key_types: ["x"],
      device_lists: { changed: ["@b"], left: [] },
    },
    account_data: { global: [{ type: "g", content: { n: 1 } }], rooms: { [ROOM]: [{ type: "r", content: { n: 2 } }] } },
    receipts: {
      rooms: {
        [ROOM]: { type: "m.receipt", content: { $a: { "m.read": { "@b:localhost": { ts: 9, thread_id: "main" } } } } },
      },
    },
    typing: { rooms: { [ROOM]: { type: "m.typing", content: { user_ids: ["@b:localhost"] } } } },
  },
};

/** Every part of an answer that is neither object nor array. */
function leavesOf(value: unknown, path: (string | number)[] = []): (string | number)[][] {
  if (Array.isArray(value)) return value.flatMap((part, index) => leavesOf(part, [...path, index]));
  if (typeof value !== "object" || value === null) return [path];
  return Object.entries(value).flatMap(([key, part]) => leavesOf(part, [...path, key]));
}

function changed(path: (string | number)[]): typeof ANSWER {
  const answer = structuredClone(ANSWER);
  let at: Record<string | number, unknown> = answer;
  for (const key of path.slice(0, -1)) at = at[key] as Record<string | number, unknown>;
  const last = path.at(-1) ?? "";
  const value = at[last];
  at[last] = typeof value === "number" ? value + 1 : typeof value === "boolean" ? !value : `${String(value)}x`;
  return answer;
}

const view = (answer: unknown) => new Viewer().view({ status: 200, errcode: null, answer: answer as WireAnswer }, WISH);

test("[DIF-8] a change of any part of an answer is found, but for those that are not compared", () => {
  expect(differencesOf(view(ANSWER), view(structuredClone(ANSWER)))).toEqual([]);
  const overlooked = leavesOf(ANSWER)
    .filter((path) => differencesOf(view(ANSWER), view(changed(path))).length === 0)
    .map((path) => path.at(-1));
  expect(new Set(overlooked)).toEqual(
    new Set(["age", "bump_stamp", "highlight_count", "next_batch", "notification_count", "pos", "prev_batch"]),
  );
});

test("[DIF-8] an order of timeline events or rooms is part of an answer, an order of state is not", () => {
  const turned = structuredClone(ANSWER);
  turned.rooms[ROOM].timeline.reverse();
  expect(differencesOf(view(ANSWER), view(turned))).toHaveLength(1);
  const window = structuredClone(ANSWER);
  window.lists.all.ops[0]?.room_ids.reverse();
  expect(differencesOf(view(ANSWER), view(window))).toHaveLength(1);
});

test("[DIF-9] the page of differences is that of the test", async () => {
  expect(await currentPage("docs/synapse-differences.md", differencesPage())).toBe(differencesPage());
});
