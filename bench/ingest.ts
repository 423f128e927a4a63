import type { RoomId } from "#src/protocol/ids.ts";
import { packPollBatch, packUpdates, unpackPollBatch } from "#src/protocol/packed.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { EventFields } from "#src/protocol/events.ts";
import { reduceGroup } from "#src/state/ingest-reducer.ts";
import { loadContext } from "#actors/ingest/context-loader.ts";
import { IngestMemory } from "#actors/ingest/ingest-memory.ts";
import { PollingDevices } from "#actors/ingest/polling-devices.ts";
import { joinSection, memberEvent, pollBatch, polledEvent, stateEvent } from "#test/support/polls.ts";
import { makeFakeStores } from "#test/support/fake-stores.ts";

const ROOMS = 2000;
const MEMBERS = 21;
const MESSAGES = 20;
const ROOMS_PER_PIECE = 100;
const POLLERS = 20;
const LIVE_EVENTS = 2000;
const FILLER = "x".repeat(200);

const message = (id: string, sender: string): EventFields =>
  polledEvent(id, { sender, content: { body: FILLER, msgtype: "m.text" } });

function roomState(room: number): EventFields[] {
  const state = [
    stateEvent(`$create${room}`, "m.room.create", "", { room_version: "11" }),
    stateEvent(`$power${room}`, "m.room.power_levels", "", { users_default: 0 }),
    stateEvent(`$name${room}`, "m.room.name", "", { name: `Room ${room}` }),
    stateEvent(`$rules${room}`, "m.room.join_rules", "", { join_rule: "invite" }),
    stateEvent(`$history${room}`, "m.room.history_visibility", "", { history_visibility: "shared" }),
  ];
  for (let member = 0; member < MEMBERS; member++) {
    const userId = member === 0 ? "@user0:hs" : `@member${(room * 7 + member) % 5000}:hs`;
    state.push(memberEvent(`$member${room}.${member}`, userId, "join", { name: `Member ${member}` }));
  }
  return state;
}

function firstSync(): PollBatch[] {
  const pieces: PollBatch[] = [];
  for (let start = 0; start < ROOMS; start += ROOMS_PER_PIECE) {
    const rooms = Array.from({ length: ROOMS_PER_PIECE }, (_, index) => {
      const room = start + index;
      const timeline = Array.from({ length: MESSAGES }, (_, n) => message(`$first${room}.${n}`, "@user0:hs"));
      return joinSection(`!room${room}:hs` as RoomId, {
        state: roomState(room),
        timeline,
        limited: true,
        prevBatch: "p",
      });
    });
    pieces.push(pollBatch("@user0:hs", { isFirstSync: true, since: null, rooms }));
  }
  return pieces;
}

const stores = makeFakeStores();
const memory = new IngestMemory(0);
const polling = new PollingDevices();
let head = 0;
let maxRoomNid = 0;

async function ingest(
  batches: PollBatch[],
  createdAfter: number,
): Promise<{ loadMs: number; reduceMs: number; learnMs: number; packMs: number; events: number }> {
  const started = performance.now();
  const loadable = batches.map((batch) => ({ batch, createdAfter, polledAt: -1 }));
  const context = await loadContext(stores.ingest, memory, loadable, { head, maxRoomNid, nowMs: 0, polling });
  const loaded = performance.now();
  const reduction = reduceGroup(batches, context);
  const reduced = performance.now();
  memory.learn(reduction);
  const learned = performance.now();
  packUpdates(reduction.updates);
  const packed = performance.now();
  await stores.ingest.commit(reduction.transaction);
  head = reduction.transaction.head;
  maxRoomNid = reduction.learned.maxRoomNid;
  return {
    loadMs: loaded - started,
    reduceMs: reduced - loaded,
    learnMs: learned - reduced,
    packMs: packed - learned,
    events: reduction.counts.newEvents,
  };
}

const sum = { unpackMs: 0, loadMs: 0, reduceMs: 0, learnMs: 0, packMs: 0, events: 0 };
for (const piece of firstSync().map((batch) => packPollBatch(batch))) {
  const started = performance.now();
  const batch = unpackPollBatch(piece);
  sum.unpackMs += performance.now() - started;
  const took = await ingest([batch], -1);
  sum.loadMs += took.loadMs;
  sum.reduceMs += took.reduceMs;
  sum.learnMs += took.learnMs;
  sum.packMs += took.packMs;
  sum.events += took.events;
}
const rounded = (values: Record<string, number>): Record<string, number> =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Math.round(value * 10) / 10]));
console.table({ "first sync (ms)": rounded(sum) });

const join = Array.from({ length: POLLERS }, (_, n) => `@live${n}:hs`);
const section = joinSection("!live:hs", {
  state: [
    stateEvent("$livecreate", "m.room.create", ""),
    ...join.map((userId, n) => memberEvent(`$live${n}`, userId, "join")),
  ],
});
for (const userId of join) await ingest([pollBatch(userId, { isFirstSync: true, rooms: [section] })], -1);

const live = { unpackMs: 0, loadMs: 0, reduceMs: 0, learnMs: 0, packMs: 0, events: 0 };
for (let n = 0; n < LIVE_EVENTS; n++) {
  const event = message(`$event${n}`, "@live0:hs");
  const packed = join.map((userId) =>
    packPollBatch(pollBatch(userId, { since: `s${n}`, rooms: [joinSection("!live:hs", { timeline: [event] })] })),
  );
  const started = performance.now();
  const batches = packed.map((one) => unpackPollBatch(one));
  live.unpackMs += performance.now() - started;
  const took = await ingest(batches, head);
  live.loadMs += took.loadMs;
  live.reduceMs += took.reduceMs;
  live.learnMs += took.learnMs;
  live.packMs += took.packMs;
  live.events += took.events;
}
const perGroup = Object.fromEntries(
  Object.entries(live).map(([name, value]) => [name, name === "events" ? value : (value / LIVE_EVENTS) * 1000]),
);
console.table({ [`group of ${POLLERS} pollers, one event (µs)`]: rounded(perGroup) });
