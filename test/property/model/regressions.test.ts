import { describe, expect, test } from "bun:test";
import type { History, Step } from "./history.ts";
import { play } from "./play.ts";

/** Of one history on a machine that is busy with other things. */
const SLOW_MS = 120_000;

type Options = Partial<Pick<History, "heals" | "limitsJoins">>;

/** A first request of one of the clients. */
const ask = (client: number, ...changes: Extract<Step, { kind: "ask" }>["changes"]): Step => ({
  kind: "ask",
  client,
  fate: "arrives",
  changes,
});
const act = (name: Extract<Step, { kind: "act" }>["act"], room: number, who = 0, n = 0): Step => ({
  kind: "act",
  act: name,
  room,
  who,
  n,
});
/** What a client of simplified sliding sync asks for in one list: what of rooms, and up to where. */
const WINDOWS: readonly (readonly [wish: number, end: number])[] = [
  [0, 0],
  [1, 0],
  [2, 3],
  [3, 0],
  [1, 4],
];
const simplified = (client: number, n: number): Step => {
  const [wish = 0, end = 0] = WINDOWS[n] ?? [];
  return {
    kind: "ask-simplified",
    client,
    fate: "arrives",
    changes: [{ kind: "list", list: 0, wish, end, filters: 0 }],
  };
};
const poll = (device: number, limit = 50): Step => ({ kind: "poll", device, limit });
const crash = (role: "sync" | "ingest" | "poller"): Step => ({ kind: "crash", role });

/** Histories that went wrong once, as small as they became. */
const HISTORIES: readonly (readonly [what: string, steps: readonly Step[], options?: Options])[] = [
  ["what one poll skipped and another brings stays in the gap", [act("burst", 0, 0, 1), poll(0, 2), ask(0)]],
  ["a knock after a leave is no event", [ask(0), act("leave", 0), act("knock", 0), act("message", 0)]],
  [
    "a room that was left and is shifted into a window is not named",
    [ask(1, { kind: "ranges", list: 0, n: 6 }), act("leave", 11, 0, 6), act("message", 0), poll(0)],
  ],
  [
    "an event that a second list would hide is told",
    [ask(0), act("name", 0), poll(0), ask(0, { kind: "shape", list: 1, n: 4 }), poll(0)],
  ],
  [
    "who was typing before anybody asked is shown",
    [act("typing", 0, 0, 1), poll(0), ask(0, { kind: "old-rooms", list: 0, n: 0 }), act("message", 0)],
  ],
  [
    "receipts on events that were held back come with them",
    [
      ask(0, { kind: "shape", list: 0, n: 0 }),
      act("burst", 11, 0, 1),
      poll(1),
      act("receipt", 4, 0, 1),
      poll(0, 2),
      ask(0, { kind: "anew" }),
      act("message", 0),
    ],
  ],
  [
    "a room that goes out of view behind a gap says so",
    [
      act("burst", 0, 1, 11),
      { kind: "ask", client: 0, fate: "parked", changes: [] },
      poll(1, 2),
      act("upgrade", 7, 0, 2),
    ],
  ],
  [
    "a name that goes with an event nobody sees goes, also after a crash",
    [act("ignore", 0, 0, 2), ask(0), crash("sync"), act("redact", 0, 2, 1), ask(0)],
  ],
  [
    "an invite whose end another poll brings first becomes the room",
    [act("upgrade", 8, 1, 5), poll(1), act("join", 7), poll(0), ask(1, { kind: "slow", list: 2, n: 0 })],
  ],
  [
    "receipts that begin late speak of all that was sent since the room was, also of news beside the latest",
    [
      act("join", 7, 2, 11),
      act("receipt", 7, 3, 1),
      ask(2, { kind: "anew" }),
      act("topic", 7, 0, 1),
      poll(1, 2),
      ask(2, { kind: "extension", name: "receipts", isOn: true, scope: 1 }),
    ],
  ],
  [
    "a list that wants everything has it beside one that wants some of it",
    [ask(0, { kind: "shape", list: 0, n: 2 }, { kind: "shape", list: 1, n: 3 })],
  ],
  [
    "a room that came into a second window while the connection's memory was lost is sent for that one",
    [
      ask(2),
      ask(2, { kind: "shape", list: 1, n: 2 }, { kind: "ranges", list: 1, n: 1 }),
      ask(2),
      crash("sync"),
      act("message", 0),
    ],
  ],
  [
    "whoever rejects an invite is told first, and those inside are told in order",
    [ask(0), act("invite", 2), poll(1), act("message", 2), act("reject", 2), poll(1)],
  ],
  [
    "whoever is banned in advance is told first, and those inside are told in order",
    [ask(0), act("invite", 2, 0, 1), poll(1), act("message", 2), act("ban", 2, 0, 1), poll(1)],
  ],
  [
    "who joins is told the whole state late, and nobody is back in the room for that",
    [
      act("join", 2, 0, 5),
      { kind: "poll-early", device: 3, limit: 50 },
      ask(0),
      act("leave", 2),
      { kind: "poll-early", device: 0, limit: 50 },
    ],
  ],
  [
    "what happened while the connection's memory was lost is told beside a new list that wants less",
    [ask(1), act("alias", 0), crash("sync"), poll(0), ask(1, { kind: "shape", list: 1, n: 4 }), poll(0)],
  ],
  [
    "the end of a stay behind a gap says so",
    [
      ask(1),
      act("message", 4),
      crash("poller"),
      act("leave", 11, 0, 1),
      ask(3, { kind: "bump", list: 0, n: 0 }),
      poll(0),
    ],
  ],
  [
    "a redaction that lies in another device's gap holds",
    [
      act("profile", 0),
      act("redact", 0, 0, 1),
      crash("poller"),
      act("kick", 0, 1, 4),
      act("message", 0),
      ask(3),
      ask(0),
    ],
  ],
  [
    "what waits for its transaction id is told with the last of a room that gives way to another",
    [act("message", 9, 1, 7), ask(3), act("outlier", 9), act("upgrade", 2), act("message", 0)],
  ],
  [
    "a late answer to a device that has logged in anew lies in the gap that it fell into",
    [
      simplified(2, 0),
      crash("poller"),
      { kind: "logout", device: 1 },
      poll(2),
      act("message", 11),
      ask(1, { kind: "sort", list: 0, n: 0 }),
      { kind: "poll-early", device: 1, limit: 50 },
      act("message", 11),
      poll(2),
      act("message", 0),
    ],
  ],
  [
    "a second device whose mark was not taken away yet is up to date again after a restart",
    [ask(3, { kind: "slow", list: 0, n: 0 }), crash("sync"), crash("poller"), ask(3), poll(0)],
  ],
  [
    "state of a late answer that another poll has told already does not come back",
    [
      act("outlier", 10),
      { kind: "poll-early", device: 3, limit: 50 },
      ask(1, { kind: "shape", list: 0, n: 2 }),
      poll(1),
      act("topic", 3),
      act("message", 0),
    ],
  ],
  [
    "state of a late answer does not take the place of newer state",
    [
      act("outlier", 10),
      { kind: "poll-early", device: 3, limit: 50 },
      ask(1, { kind: "shape", list: 0, n: 2 }),
      act("topic", 3),
      act("message", 0),
    ],
  ],
  [
    "what was said before somebody vanished is told, or said to be missing",
    [act("message", 11), act("vanish", 11), poll(0), ask(0), act("message", 4), { kind: "pass", ms: 200 }],
    { heals: true, limitsJoins: false },
  ],
  [
    "what an answer without events leaves out is a gap",
    [act("message", 4), poll(0, 0), ask(0), act("message", 4), poll(0), ask(0)],
  ],
  [
    "a room of a window that has narrowed goes on from where it surely was after a crash",
    [
      act("message", 0, 0, 1),
      act("message", 1),
      simplified(0, 3),
      ask(3),
      simplified(0, 2),
      ask(2, { kind: "limit", list: 0, n: 0 }),
      { kind: "ask", client: 2, fate: "cancelled", changes: [] },
      crash("sync"),
      ask(0, { kind: "filters", list: 0, n: 0 }),
    ],
  ],
  [
    "an answer that is sent again says no more than when it was made, and what came late follows",
    [
      ask(3, { kind: "limit", list: 0, n: 0 }),
      { kind: "logout", device: 2 },
      act("message", 0),
      { kind: "ask-simplified", client: 6, fate: "arrives", changes: [] },
      poll(2),
      act("message", 0, 0, 1),
      poll(2),
      { kind: "ask", client: 3, fate: "lost", changes: [{ kind: "sort", list: 0, n: 0 }] },
      act("message", 0),
    ],
  ],
  [
    "a device that begins where another one is begins behind the same gap",
    [act("message", 9), poll(0, 0), ask(3), act("message", 2), poll(2), ask(0)],
  ],
  [
    "a device whose poll failed while it was alone has its rooms with the next one",
    [
      { kind: "ask", client: 3, fate: "cancelled", changes: [] },
      { kind: "logout", device: 0 },
      { kind: "poll-fails", device: 2 },
      ask(3, { kind: "ranges", list: 0, n: 0 }),
      act("message", 0),
    ],
  ],
  [
    "state that a device which began without rooms brings is newer than what was brought to it",
    [act("create", 0, 0, 2), simplified(2, 0), act("retract", 7), poll(2), poll(0)],
  ],
  [
    "a device whose poll failed after a crash answers with the next one",
    [ask(3), crash("poller"), { kind: "poll-fails", device: 2 }, crash("sync"), simplified(2, 0), simplified(0, 0)],
  ],
  [
    "a late answer that lists a profile of before a departure takes nobody back",
    [ask(3), act("profile", 9), { kind: "poll-early", device: 2, limit: 50 }, act("leave", 9)],
  ],
  [
    "a poll that fails leaves a gap where it is",
    [
      simplified(2, 0),
      act("upgrade", 0, 0, 1),
      poll(0),
      poll(2),
      act("message", 7),
      poll(0, 0),
      ask(0),
      { kind: "poll-fails", device: 2 },
    ],
  ],
  [
    "what a device brought before it read its rooms is told in its turn",
    [ask(3), { kind: "poll-fails", device: 0 }, act("upgrade", 0), poll(2, 0), poll(0)],
  ],
  [
    "what a second device goes on from is followed by what the first one's poll brings, in its place",
    [
      simplified(2, 0),
      act("message", 2),
      { kind: "logout", device: 2 },
      ask(3),
      poll(2),
      act("message", 2),
      poll(2),
      ask(0),
    ],
  ],
  [
    "rooms that a device reads beside its place and late lie in the gap that they fell into",
    [
      ask(3),
      act("message", 0),
      { kind: "pass", ms: 1_200_000 },
      { kind: "poll-early", device: 2, limit: 50 },
      poll(0, 0),
      act("message", 0),
    ],
  ],
  [
    "state that falls back at once is as it was",
    [simplified(1, 3), act("upgrade", 0), act("name", 3), act("fall-back", 11), poll(0)],
  ],
  [
    "state beside a timeline that others have passed meanwhile does not come back",
    [
      act("upgrade", 0),
      act("outlier", 9),
      { kind: "poll-early", device: 1, limit: 50 },
      ask(1),
      act("outlier", 1),
      poll(0),
    ],
  ],
  [
    "state beside a timeline in which somebody leaves is not for who left",
    [simplified(1, 0), act("leave", 1, 0, 3), act("outlier", 1), simplified(0, 0)],
  ],
  [
    "what a second device goes on from is behind what the first one's poll brings late",
    [
      ask(3),
      { kind: "logout", device: 2 },
      act("message", 1),
      simplified(2, 0),
      poll(2),
      { kind: "poll-early", device: 0, limit: 50 },
      act("message", 8),
      poll(2),
    ],
  ],
  [
    "an invite to a direct room has the inviter's picture, whoever says that it is direct",
    [act("profile", 1, 0, 3), act("leave", 1), act("invite", 1, 0, 5), ask(0, { kind: "anew" })],
  ],
  [
    "a room that became direct while the connection's memory was lost says so",
    [
      { kind: "ask-simplified", client: 6, fate: "arrives", changes: [] },
      act("direct", 0),
      { kind: "ask-simplified", client: 6, fate: "arrives", changes: [] },
      { kind: "pass", ms: 40_000 },
      crash("sync"),
      poll(0),
    ],
  ],
  [
    "what a second device brings is behind the join that the first one brought, however old it says it is",
    [act("join", 3), ask(3), act("late-message", 10), poll(2)],
  ],
  [
    "what a joiner's poll shows of before the join is not taken for told, and another's late answer lies where it belongs",
    [
      ask(3),
      act("message", 2),
      poll(0, 0),
      { kind: "poll-early", device: 2, limit: 50 },
      act("join", 9),
      ask(0, { kind: "unsubscribe", room: 0 }),
    ],
  ],
  [
    "the whole state of a late answer does not take the place of newer state",
    [
      act("upgrade", 8, 1, 1),
      { kind: "ask", client: 3, fate: "lost", changes: [] },
      act("create", 5, 0, 6),
      { kind: "poll-early", device: 2, limit: 50 },
      act("profile", 8, 3, 8),
      poll(0, 0),
    ],
  ],
  [
    "a request that was given up before it was answered keeps nothing for its client",
    [
      act("to-device", 11, 3, 5),
      { kind: "ask-simplified", client: 6, fate: "cancelled", changes: [] },
      { kind: "ask", client: 3, fate: "lost", changes: [] },
    ],
  ],
  [
    "members who vanish while the connection's memory was lost are counted no more",
    [
      { kind: "ask-simplified", client: 6, fate: "arrives", changes: [] },
      crash("sync"),
      { kind: "ask-simplified", client: 6, fate: "lost", changes: [] },
      act("vanish", 4, 0, 1),
    ],
    { heals: true },
  ],
  [
    "what is told late to somebody who has left meanwhile is from before that",
    [
      simplified(0, 0),
      act("redact", 7, 0, 8),
      { kind: "poll-early", device: 1, limit: 5 },
      act("outlier", 7, 0, 2),
      act("leave", 0, 3, 1),
    ],
    { heals: true },
  ],
  [
    "an ingest actor that crashed before it wrote a token down knows where the next poll began",
    [
      act("upgrade", 0, 1, 7),
      { kind: "poll", device: 0, limit: 2 },
      { kind: "poll", device: 1, limit: 2 },
      { kind: "ask", client: 1, fate: "cancelled", changes: [{ kind: "shape", list: 2, n: 0 }] },
      crash("ingest"),
      act("late-message", 7, 4, 10),
      { kind: "poll", device: 1, limit: 50 },
    ],
    { limitsJoins: false },
  ],
];

describe("a history that went wrong once", () => {
  for (const [what, steps, options] of HISTORIES) {
    test(
      `[ORA-2] ${what}`,
      async () => {
        for (const stateAfter of [false, true])
          expect(await play({ seed: 0, stateAfter, steps, ...options })).toEqual([]);
      },
      SLOW_MS,
    );
  }
});
