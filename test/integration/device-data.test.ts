import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import type { UserId } from "#src/protocol/ids.ts";
import type { PolledToDevice } from "#src/protocol/poll-batch.ts";
import { type RigResponse, SyncRig } from "#test/support/sync-rig.ts";

const encoder = new TextEncoder();
const TO_DEVICE = { extensions: { to_device: { enabled: true } } };
const E2EE = { extensions: { e2ee: { enabled: true } } };
/** Longer than anything in a test takes. */
const PATIENT_MS = 600_000;

let rig: SyncRig;
let alice: UserId;

beforeEach(async () => {
  rig = await SyncRig.start();
  alice = await rig.addUser("alice");
});

afterEach(() => rig.stop());

const message = (content: Record<string, unknown>, type = "m.test", sender = "@bob:hs"): PolledToDevice => ({
  type,
  sender,
  json: encoder.encode(JSON.stringify({ type, sender, content })),
});
const numbered = (...numbers: number[]): PolledToDevice[] => numbers.map((n) => message({ n }));

describe("to-device messages", () => {
  const send = (...toDevice: PolledToDevice[]): Promise<void> => rig.poll(alice, [], { toDevice });
  const part = (response: RigResponse): { next_batch: string; events?: { content: { n: number } }[] } =>
    response.extensions["to_device"] as never;
  const numbers = (response: RigResponse): number[] => (part(response).events ?? []).map(({ content }) => content.n);
  const nextBatch = (response: RigResponse): string => part(response).next_batch;
  const stored = (): number => rig.stores.db.toDevice.length;
  /** Asks, saying what was received: null = nothing. */
  const ask = (
    pos: string | null,
    since: string | null,
    options: { connId?: string; limit?: number; timeoutMs?: number } = {},
  ): Promise<RigResponse> => {
    const { connId = "", limit, timeoutMs = 0 } = options;
    const to_device = {
      enabled: true,
      ...(since === null ? {} : { since }),
      ...(limit === undefined ? {} : { limit }),
    };
    return rig.sync(alice, { conn_id: connId, extensions: { to_device } }, { pos, timeoutMs });
  };

  test("[TOD-1] come in order, again and again until they are acknowledged, then never", async () => {
    await send(...numbered(1, 2));
    await send(...numbered(3));
    const first = await ask(null, null);
    expect(numbers(first)).toEqual([1, 2, 3]);
    const second = await ask(first.pos, null);
    expect(numbers(second)).toEqual([1, 2, 3]);
    expect(nextBatch(second)).toBe(nextBatch(first));
    await send(...numbered(4));
    const third = await ask(second.pos, nextBatch(second));
    expect(numbers(third)).toEqual([4]);
    expect(stored()).toBe(1);
    // What was said once holds until something else is said.
    const fourth = await ask(third.pos, null);
    expect(numbers(fourth)).toEqual([4]);
    expect(numbers(await ask(null, nextBatch(fourth)))).toEqual([]);
    expect(stored()).toBe(0);
  });

  test("[TOD-2] are byte for byte what the homeserver sent", async () => {
    const json = '{ "type":"m.test", "content":{"big":12345678901234567890,"text":"\\u00e9\\/"},\n"sender":"@b:hs" }';
    await send({ type: "m.test", sender: "@b:hs", json: encoder.encode(json) });
    const { body } = await rig.answer(alice, TO_DEVICE);
    expect(new TextDecoder().decode(body)).toContain(`"events":[${json}]`);
  });

  test("[TOD-3] come a hundred at a time, or as many as the client wants; the rest follows", async () => {
    await send(...numbered(...Array.from({ length: 150 }, (_, index) => index)));
    const first = await ask(null, null);
    expect(numbers(first)).toHaveLength(100);
    const second = await ask(first.pos, nextBatch(first), { limit: 20 });
    expect(numbers(second)).toEqual(Array.from({ length: 20 }, (_, index) => 100 + index));
    const third = await ask(second.pos, nextBatch(second), { limit: 0 });
    expect(numbers(third)).toHaveLength(20);
  });

  test("[TOD-4] there is always a next_batch, and it alone answers nobody who waits", async () => {
    const first = await ask(null, null);
    expect(part(first).events).toBeUndefined();
    expect(nextBatch(first)).toBe("e_0");
    const parked = ask(first.pos, nextBatch(first), { timeoutMs: PATIENT_MS });
    await rig.nodes.settled();
    await send(...numbered(1));
    expect(numbers(await parked)).toEqual([1]);
  });

  test("[TOD-5] a since of another database, of the Go proxy, or ahead of this database swallows nothing", async () => {
    await send(...numbered(1));
    for (const since of [
      "17",
      "999999",
      "abc",
      "other_5",
      "e_x",
      "e_-1",
      "e_1.5",
      "e_1e3",
      "e_ 9",
      "e_0x9",
      "E_9",
      "e_999999",
      "_",
      "e_",
    ]) {
      const response = await ask(null, since);
      expect(numbers(response)).toEqual([1]);
      expect(nextBatch(response)).toStartWith("e_");
      expect(stored()).toBe(1);
    }
  });

  test("[TOD-6] every connection of a device gets every message, and it goes when the last has acknowledged it", async () => {
    await ask(null, null, { connId: "b" });
    await send(...numbered(1, 2));
    const a = await ask(null, null, { connId: "a" });
    expect(numbers(a)).toEqual([1, 2]);
    const a2 = await ask(a.pos, nextBatch(a), { connId: "a" });
    expect(numbers(a2)).toEqual([]);
    expect(stored()).toBe(2);
    const b = await ask(null, null, { connId: "b" });
    expect(numbers(b)).toEqual([1, 2]);
    await ask(b.pos, nextBatch(b), { connId: "b" });
    expect(stored()).toBe(0);
  });

  test("[TOD-7] a connection that is new begins behind what the device has acknowledged", async () => {
    await ask(null, null, { connId: "slow" });
    await send(...numbered(1, 2));
    const a = await ask(null, null, { connId: "a" });
    await ask(a.pos, nextBatch(a), { connId: "a" });
    await send(...numbered(3));
    expect(numbers(await ask(null, null, { connId: "new" }))).toEqual([3]);
    // So does one that was started over without a word of what it has.
    expect(numbers(await ask(null, null, { connId: "a" }))).toEqual([3]);
    expect(numbers(await ask(null, null, { connId: "slow" }))).toEqual([1, 2, 3]);
  });

  test("[TOD-8] a connection that sleeps through a crash keeps what it has not acknowledged", async () => {
    const sleeper = await ask(null, null, { connId: "sleeper" });
    await send(...numbered(1, 2));
    await rig.nodes.restartHost("sync");
    const a = await ask(null, null, { connId: "a" });
    await ask(a.pos, nextBatch(a), { connId: "a" });
    await ask(a.pos, nextBatch(a), { connId: "a" });
    expect(stored()).toBe(2);
    expect(numbers(await ask(sleeper.pos, null, { connId: "sleeper" }))).toEqual([1, 2]);
  });

  test("[TOD-9] nothing is kept for a connection that has switched the extension off", async () => {
    const b = await ask(null, null, { connId: "b" });
    await send(...numbered(1));
    const a = await ask(null, null, { connId: "a" });
    await rig.sync(alice, { conn_id: "b", extensions: { to_device: { enabled: false } } }, { pos: b.pos });
    await ask(a.pos, nextBatch(a), { connId: "a" });
    expect(stored()).toBe(0);
  });

  describe("key requests", () => {
    const request = (action: string, id = "r1"): PolledToDevice =>
      message({ action, request_id: id, requesting_device_id: "D" }, "m.room_key_request");
    const actions = (response: RigResponse): unknown[] =>
      (part(response).events ?? []).map(({ content }) => (content as unknown as { action: string }).action);

    test("[TOD-10] one that is cancelled before it was sent is not sent, and its cancellation is not either", async () => {
      await send(request("request"), request("request", "r2"));
      await send(request("request_cancellation"));
      const first = await ask(null, null);
      expect(actions(first)).toEqual(["request"]);
      await send(...numbered(1));
      expect(actions(await ask(first.pos, nextBatch(first)))).toEqual([undefined]);
    });

    test("[TOD-11] one that may have been sent stays, and its cancellation is sent", async () => {
      await send(request("request"));
      const first = await ask(null, null);
      expect(actions(first)).toEqual(["request"]);
      await send(request("request_cancellation"));
      const second = await ask(first.pos, null);
      expect(actions(second)).toEqual(["request", "request_cancellation"]);
      await rig.nodes.restartHost("sync");
      expect(actions(await ask(second.pos, null))).toEqual(["request", "request_cancellation"]);
    });
  });
});

describe("encryption data", () => {
  const part = (response: RigResponse): Record<string, unknown> | undefined => response.extensions["e2ee"];
  const COUNTS = '{"signed_curve25519":5}';
  const ask = (pos: string | null, connId = "", timeoutMs = 0): Promise<RigResponse> =>
    rig.sync(alice, { conn_id: connId, ...E2EE }, { pos, timeoutMs });

  test("[E2EE-1] a connection begins with all that is known, and later hears what changed", async () => {
    await rig.poll(alice, [], { otkCounts: COUNTS, fallbackKeyTypes: '["signed_curve25519"]' });
    await rig.poll(alice, [], { deviceListsChanged: ["@bob:hs"], deviceListsLeft: ["@carol:hs"] });
    const first = await ask(null);
    expect(part(first)).toEqual({
      device_one_time_keys_count: { signed_curve25519: 5 },
      device_unused_fallback_key_types: ["signed_curve25519"],
      device_lists: { changed: ["@bob:hs"], left: ["@carol:hs"] },
    });
    const second = await ask(first.pos);
    expect(second.extensions).toEqual({});
    await rig.poll(alice, [], { otkCounts: '{"signed_curve25519":4}', fallbackKeyTypes: '["signed_curve25519"]' });
    const third = await ask(second.pos);
    expect(part(third)).toEqual({ device_one_time_keys_count: { signed_curve25519: 4 } });
    await rig.poll(alice, [], { otkCounts: '{"signed_curve25519":4}', fallbackKeyTypes: "[]" });
    const fourth = await ask(third.pos);
    expect(part(fourth)).toEqual({ device_unused_fallback_key_types: [] });
    await rig.poll(alice, [], { deviceListsLeft: ["@bob:hs"] });
    expect(part(await ask(fourth.pos))).toEqual({ device_lists: { changed: [], left: ["@bob:hs"] } });
  });

  test("[E2EE-2] keys that the homeserver does not mention are not mentioned, an explicit empty list is", async () => {
    await rig.poll(alice, [], { otkCounts: COUNTS });
    expect(part(await ask(null, "a"))).toEqual({ device_one_time_keys_count: { signed_curve25519: 5 } });
    await rig.poll(alice, [], { otkCounts: COUNTS, fallbackKeyTypes: "[]" });
    expect(part(await ask(null, "b"))).toEqual({
      device_one_time_keys_count: { signed_curve25519: 5 },
      device_unused_fallback_key_types: [],
    });
  });

  test("[E2EE-3] changes of a response that was lost come again, with those since, each user once", async () => {
    const first = await ask(null);
    await rig.poll(alice, [], { deviceListsChanged: ["@bob:hs", "@dan:hs"] });
    const lost = await ask(first.pos);
    expect(part(lost)).toEqual({ device_lists: { changed: ["@bob:hs", "@dan:hs"], left: [] } });
    expect(await ask(first.pos)).toEqual(lost);
    await rig.poll(alice, [], { deviceListsChanged: ["@erin:hs"], deviceListsLeft: ["@bob:hs"] });
    const again = await ask(null);
    expect(part(again)).toEqual({ device_lists: { changed: ["@dan:hs", "@erin:hs"], left: ["@bob:hs"] } });
    // Acknowledged: nobody hears of them again.
    await ask(again.pos);
    expect(part(await ask(null))).toBeUndefined();
    expect(rig.stores.db.deviceLists.size).toBe(0);
  });

  test("[E2EE-4] every connection of a device hears of every change", async () => {
    const a = await ask(null, "a");
    const b = await ask(null, "b");
    await rig.poll(alice, [], { deviceListsChanged: ["@bob:hs"] });
    const a2 = await ask(a.pos, "a");
    expect(part(a2)).toEqual({ device_lists: { changed: ["@bob:hs"], left: [] } });
    await ask(a2.pos, "a");
    const b2 = await ask(b.pos, "b");
    expect(part(b2)).toEqual({ device_lists: { changed: ["@bob:hs"], left: [] } });
    expect(rig.stores.db.deviceLists.size).toBe(1);
    await ask(b2.pos, "b");
    expect(rig.stores.db.deviceLists.size).toBe(0);
  });

  test("[E2EE-5] a change answers who waits, and a crash loses none", async () => {
    const first = await ask(null);
    const parked = ask(first.pos, "", PATIENT_MS);
    await rig.nodes.settled();
    await rig.poll(alice, [], { deviceListsChanged: ["@bob:hs"] });
    const second = await parked;
    expect(part(second)).toEqual({ device_lists: { changed: ["@bob:hs"], left: [] } });
    await rig.poll(alice, [], { deviceListsChanged: ["@carol:hs"], otkCounts: COUNTS });
    await rig.nodes.restartHost("sync");
    expect(part(await ask(second.pos))).toEqual({
      device_one_time_keys_count: { signed_curve25519: 5 },
      device_lists: { changed: ["@carol:hs"], left: [] },
    });
  });
});
