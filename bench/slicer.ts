/** Prints how fast bodies are scanned and events extracted: `bun bench/slicer.ts`. */
import { isUtf8 } from "node:buffer";
import { EventReader } from "#src/homeserver/event-fields.ts";
import { checkValue, eachItem, skipValue } from "#src/homeserver/slicer.ts";
import type { PollOrigin } from "#src/homeserver/sync-v2.ts";
import { outlineSync, splitBatch } from "#src/homeserver/sync-v2.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { packPollBatch } from "#src/protocol/packed.ts";

const EVENTS = 92_000;
const ROUNDS = 7;
const ROOMS = 2000;

function event(i: number): string {
  const body = `message number ${i} ${"lorem ipsum dolor sit amet ".repeat(3)}`;
  return `{"content":{"body":"${body}","msgtype":"m.text"},"event_id":"$${String(i).padStart(43, "x")}","origin_server_ts":${1_700_000_000_000 + i},"sender":"@user${i % 21}:example.org","type":"m.room.message","unsigned":{"age":${i}}}`;
}

function best(name: string, bytes: number, run: () => void): void {
  let fastest = Number.POSITIVE_INFINITY;
  for (let round = 0; round < ROUNDS; round++) {
    const start = performance.now();
    run();
    fastest = Math.min(fastest, performance.now() - start);
  }
  const rate = `${Math.round(bytes / 1000 / fastest)} MB/s`;
  console.log(
    `${name.padEnd(34)} ${fastest.toFixed(1).padStart(7)} ms  ${rate.padStart(10)}  ${Math.round(EVENTS / fastest)} events/ms`,
  );
}

const body = Buffer.from(`[${Array.from({ length: EVENTS }, (_, i) => event(i)).join(",")}]`);
console.log(`${EVENTS} events, ${Math.round(body.length / EVENTS)} bytes each, ${(body.length / 1e6).toFixed(1)} MB`);
best("valid UTF-8", body.length, () => void isUtf8(body));
best("skip (brackets and quotes)", body.length, () => void skipValue(body, 0, body.length));
best("check (well-formed JSON)", body.length, () => void checkValue(body, 0, body.length));
best("extract event fields", body.length, () => {
  const reader = new EventReader(body);
  const fields: unknown[] = [];
  eachItem(body, 0, body.length, (at) => {
    fields.push(reader.read(at));
    return reader.end;
  });
  if (fields.length !== EVENTS) throw new Error(`expected ${EVENTS} events, got ${fields.length}`);
});
best("JSON.parse, for comparison", body.length, () => void JSON.parse(body.toString("utf8")));

/** The same events as a first sync of 2,000 rooms. */
function firstSync(): Buffer {
  const rooms = Array.from({ length: ROOMS }, (_, room) => {
    const events = Array.from({ length: EVENTS / ROOMS }, (_, i) => event(room * ROOMS + i));
    return `"!room${room}:example.org":{"timeline":{"limited":true,"prev_batch":"p${room}","events":[${events.join(",")}]}}`;
  });
  return Buffer.from(`{"next_batch":"s1","rooms":{"join":{${rooms.join(",")}}}}`);
}

const sync = firstSync();
const origin: PollOrigin = {
  userId: "@user:example.org" as UserId,
  deviceId: "DEVICE" as DeviceId,
  isFirstSync: true,
  traceparent: null,
};
best("first sync: body to packed batches", sync.length, () => {
  const outline = outlineSync(sync);
  if (typeof outline === "string") throw new Error(outline);
  for (const batch of splitBatch(outline, origin)) packPollBatch(batch);
});
