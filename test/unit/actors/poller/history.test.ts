import { describe, expect, test } from "bun:test";
import type { RoomId } from "#src/protocol/ids.ts";
import { unpackEvents } from "#src/protocol/packed.ts";
import type { HistoryAnswer } from "#actors/poller/messages.ts";
import { authFailure, transientFailure } from "#test/support/fake-homeserver-port.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { type PollerHarness, running } from "./harness.ts";

const query = { roomId: "!r:hs" as RoomId, from: "p", limit: 5, deadlineMs: 1000 };

const ask = async (harness: PollerHarness): Promise<HistoryAnswer | null> => {
  let answer: HistoryAnswer | null = null;
  const reply = { resolve: (value: HistoryAnswer) => void (answer = value), reject: () => undefined };
  await harness.tell({ type: "read-history", query, reply });
  await settlePromises();
  return answer;
};

describe("PollerActor: history", () => {
  test("[HIS-27] it is read with the device's own token, beside the poll under way", async () => {
    const harness = await running("s1");
    const event = { type: "m.room.message", event_id: "$1", sender: "@a:hs", content: {} };
    harness.homeserver.messages.set("!r:hs", { chunk: [event], end: "e" });
    const answer = await ask(harness);
    expect(answer).toMatchObject({ kind: "read", prevBatch: "e", hasMore: true });
    const events = answer?.kind === "read" ? unpackEvents(answer.events) : [];
    expect(events.map(({ json }) => JSON.parse(new TextDecoder().decode(json)) as unknown)).toEqual([event]);
    expect(harness.homeserver.asked.at(-1)).toMatch(/^messages \S+ !r:hs$/);
    expect(harness.homeserver.nextSync().isAborted).toBe(false);
  });

  test("[HIS-28] what the homeserver refuses or cannot do is told, and changes nothing for the poller", async () => {
    const harness = await running("s1");
    expect(await ask(harness)).toEqual({ kind: "refused" });
    harness.homeserver.failures = [transientFailure(7000), authFailure()];
    expect(await ask(harness)).toEqual({ kind: "failed", retryAfterMs: 7000 });
    expect(await ask(harness)).toEqual({ kind: "failed", retryAfterMs: 0 });
    harness.homeserver.messages.set("!r:hs", { chunk: "none" });
    expect(await ask(harness)).toEqual({ kind: "refused" });
    expect(harness.homeserver.nextSync().isAborted).toBe(false);
  });

  test("[HIS-29] while polls leave the homeserver in peace, or there is no token, nothing is asked of it", async () => {
    const harness = await running("s1");
    harness.homeserver.nextSync().fail(transientFailure(60_000));
    await settlePromises();
    expect(await ask(harness)).toEqual({ kind: "unavailable" });
    const fresh = await running("s1");
    fresh.homeserver.nextSync().fail(authFailure());
    await settlePromises();
    const answer = await ask(fresh);
    expect(answer === null || answer.kind === "unavailable").toBe(true);
    expect([...harness.homeserver.asked, ...fresh.homeserver.asked]).toEqual([]);
  });
});
