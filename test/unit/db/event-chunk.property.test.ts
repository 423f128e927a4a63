import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { MEMBERSHIPS, type StoredEvent } from "#src/protocol/events.ts";
import type { EventId, RoomNid } from "#src/protocol/ids.ts";
import { storedEvent } from "#test/support/stored-samples.ts";
import { decodeChunk, encodeChunks } from "#db/event-chunk.ts";

const text = fc.oneof(
  fc.string({ unit: "binary", maxLength: 40 }),
  fc.constantFrom("m.room.message", "m.room.member", "", "\ud800", "\0", "@a:b", "\u001a0"),
);
const membership = fc.option(fc.constantFrom(...MEMBERSHIPS));

const event: fc.Arbitrary<StoredEvent> = fc.record({
  id: text.map((id) => id as EventId),
  type: text,
  stateKey: fc.option(text),
  sender: text,
  ts: fc.oneof(fc.nat(), fc.double({ noNaN: true }), fc.maxSafeInteger()),
  membership,
  prevMembership: membership,
  redacts: fc.option(text),
  replacesState: fc.option(text),
  txnId: fc.constant(null),
  nid: fc.integer({ min: 1, max: 3 }).map((nid) => nid as RoomNid),
  inTimeline: fc.boolean(),
  gapBefore: fc.boolean(),
  prevBatch: fc.option(text),
  json: fc.oneof(
    fc.uint8Array({ maxLength: 60 }),
    fc.integer({ min: 0, max: 30_000 }).map((length) => new Uint8Array(length).fill(97)),
  ),
  pos: fc.constant(0),
});

/** Events with the texts of their fields inside their JSON, as real ones have. */
const realistic = event.map((e) => ({
  ...e,
  json: new Uint8Array(Buffer.from(`{"event_id":"${e.id}","sender":"${e.sender}","state_key":"${e.stateKey}"}`)),
}));

describe("encodeChunks", () => {
  test("[CHK-1] every event comes back once, byte for byte, in its lane and in order", () => {
    fc.assert(
      fc.property(
        fc.array(fc.oneof(event, realistic), { maxLength: 150 }),
        fc.array(fc.nat(2 ** 40), { minLength: 150, maxLength: 150 }),
        (drafts, gaps) => {
          let pos = 0;
          const events = drafts.map((draft, i) => {
            pos += 1 + (gaps[i] ?? 0);
            return { ...draft, pos };
          });
          const chunks = encodeChunks(events);
          const decoded = chunks.flatMap((chunk) => {
            const found = decodeChunk(chunk);
            expect(found[0]?.pos).toBe(chunk.firstPos);
            expect(found.at(-1)?.pos).toBe(chunk.lastPos);
            expect(chunk.hasGap).toBe(found.some(({ gapBefore }) => gapBefore));
            expect(found.map(({ id }) => id)).toEqual(chunk.events.map(({ id }) => id));
            return found;
          });
          expect(decoded.toSorted((a, b) => a.pos - b.pos)).toEqual(events);
        },
      ),
      { numRuns: 60 },
    );
  });

  test("[CHK-2] of the events only the wanted ones are unpacked", () => {
    fc.assert(
      fc.property(fc.array(event, { minLength: 1, maxLength: 40 }), fc.array(fc.boolean()), (drafts, choices) => {
        const events = drafts.map((draft, i) => ({ ...draft, nid: 1 as RoomNid, inTimeline: true, pos: i + 1 }));
        const wanted = new Set(events.filter((_, i) => choices[i] === true).map(({ pos }) => pos));
        const found = encodeChunks(events).flatMap((chunk) => decodeChunk(chunk, wanted));
        expect(found).toEqual(events.filter(({ pos }) => wanted.has(pos)));
      }),
      { numRuns: 60 },
    );
  });

  test("[CHK-3] chunks are bounded in events and bytes", () => {
    const events = Array.from({ length: 300 }, (_, i) => storedEvent(1, i + 1));
    const chunks = encodeChunks(events);
    for (const chunk of chunks) {
      expect(chunk.events.length).toBeLessThanOrEqual(64);
      expect(chunk.events.reduce((sum, { json }) => sum + json.length, 0)).toBeLessThanOrEqual(16_384);
    }
    const large = Array.from({ length: 3 }, (_, i) => storedEvent(1, i + 1, { json: new Uint8Array(65_000) }));
    expect(encodeChunks(large)).toHaveLength(3);
  });

  test("[CHK-4] a busy room's chunk is much smaller than its events", () => {
    const events = Array.from({ length: 20 }, (_, i) => storedEvent(1, i + 1));
    const plainBytes = events.reduce((sum, { json }) => sum + json.length, 0);
    expect(encodeChunks(events)[0]?.records.length ?? plainBytes).toBeLessThan(plainBytes / 2);
  });

  test("[CHK-5] a damaged chunk is told from a good one", () => {
    const [chunk] = encodeChunks([storedEvent(1, 1)]);
    const damaged = { ...chunk, records: chunk?.records.slice(0, -20) } as Parameters<typeof decodeChunk>[0];
    expect(() => decodeChunk(damaged)).toThrow("a record is complete");
    expect(() => decodeChunk({ ...damaged, records: new Uint8Array([9, 1]) })).toThrow("known format");
  });
});
