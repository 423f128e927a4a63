import { describe, expect, test } from "bun:test";
import { type AnswerFrame, type Batch, ENVELOPE_VERSION } from "#actors/runtime/envelope.ts";
import { PeerLink, type PeerPort } from "#actors/runtime/peer-link.ts";
import { recordingLogger } from "#test/support/recording.ts";
import { outcomeOf, settleLinks, soloHost } from "./rig.ts";

const INGEST = { kind: "ingest", key: "", shard: "" } as const;

/** A port that clones as a real one does and lets the test answer. */
function fakePort() {
  const batches: Batch[] = [];
  const transfers: Transferable[][] = [];
  const calls: PromiseWithResolvers<readonly AnswerFrame[] | undefined>[] = [];
  const port: PeerPort & { isClosed: boolean } = {
    isClosed: false,
    isNear: false,
    deliver(batch, transfer) {
      batches.push(structuredClone(batch, { transfer }));
      transfers.push(transfer);
      const call = Promise.withResolvers<readonly AnswerFrame[] | undefined>();
      calls.push(call);
      return call.promise;
    },
    close() {
      port.isClosed = true;
    },
  };
  return { port, batches, transfers, calls };
}

function linked() {
  const solo = soloHost();
  const wire = fakePort();
  const link = solo.host.attach("ingest:0", wire.port);
  const ask = (message: { type: string }, transfer?: Transferable[]): Promise<string> =>
    outcomeOf(solo.host.ask(INGEST, message, { deadlineMs: 1000, ...(transfer === undefined ? {} : { transfer }) }));
  return { ...solo, ...wire, link, ask };
}

describe("PeerLink", () => {
  test("[ACT-8] everything for one peer within a round of the event loop is one call, in order", async () => {
    const { host, batches, ask } = linked();
    host.tell(INGEST, { type: "first" });
    void ask({ type: "second" });
    host.tell(INGEST, { type: "third" });
    await settleLinks();
    expect(batches.map(({ messages }) => messages.map((frame) => frame[5].type))).toEqual([
      ["first", "second", "third"],
    ]);
    expect(batches[0]?.messages.map((frame) => frame[3])).toEqual([0, 1, 0]);
  });

  test("[ACT-8] answers come back as the result of the call or in a later batch, whichever is first", async () => {
    const { host, link, calls, ask } = linked();
    const early = ask({ type: "early" });
    const late = ask({ type: "late" });
    await settleLinks();
    calls[0]?.resolve([[1, null, "a"]]);
    expect(await early).toBe("ok: a");
    host.take(link, {
      v: ENVELOPE_VERSION,
      messages: [],
      answers: [[2, { code: "unknown_pos", message: "x" }, undefined]],
    });
    expect(await late).toBe("unknown_pos");
  });

  test("[ACT-16] many answers do not wait for the end of the round, and none is left behind", async () => {
    const { host, link, batches } = linked();
    for (let id = 1; id <= 20; id++) link.ticket(id).resolve(id);
    const atOnce = batches.flatMap(({ answers }) => answers.map(([id]) => id));
    expect(atOnce.length).toBeGreaterThanOrEqual(10);
    // Nor one by one.
    expect(batches.length).toBeLessThan(8);
    await settleLinks();
    expect(batches.flatMap(({ answers }) => answers.map(([id]) => id))).toEqual(
      Array.from({ length: 20 }, (_, index) => index + 1),
    );
    expect(host.isIdle).toBe(false);
  });

  test("[ACT-9] the death of a peer rejects what it was asked; its late answers are ignored", async () => {
    const { host, link, port, calls, ask, time } = linked();
    const answer = ask({ type: "question" });
    await settleLinks();
    host.detach("ingest:0");
    expect(await answer).toBe("actor_stopped");
    expect(port.isClosed).toBe(true);
    calls[0]?.resolve([[1, null, "late"]]);
    expect(
      host.take(link, { v: ENVELOPE_VERSION, messages: [], answers: [[1, null, "later"]] }).answers,
    ).toBeUndefined();
    await settleLinks();
    expect(time.pendingCount).toBe(0);
  });

  test("[ACT-9] an answer counts only when it comes from the host that was asked", async () => {
    const { host, ask, time } = linked();
    const other = host.attach("sync:0", fakePort().port);
    const answer = ask({ type: "question" });
    host.take(other, { v: ENVELOPE_VERSION, messages: [], answers: [[1, null, "forged"]] });
    await time.advance(1000);
    expect(await answer).toBe("ask_timeout");
  });

  test("[ACT-10] what cannot be cloned costs only itself", async () => {
    const { host, batches, metrics, ask, logger } = linked();
    host.tell(INGEST, { type: "good" });
    const bad = ask({ type: "bad", run: () => {} } as { type: string });
    host.tell(INGEST, { type: "also good" });
    expect(await bad).toBe("internal");
    expect(batches.flatMap(({ messages }) => messages.map((frame) => frame[5].type))).toEqual(["good", "also good"]);
    expect(metrics.of("actor_dead_letters_total", { kind: "ingest", reason: "unsendable" })).toBe(1);
    expect(logger.lines.map(({ message }) => message)).toEqual(["message could not be sent"]);
  });

  test("[ACT-10] a buffer is moved, not copied, and may be named by two messages of a batch", async () => {
    const { transfers, ask, batches } = linked();
    const bytes = new Uint8Array(1000);
    void ask({ type: "one", bytes } as { type: string }, [bytes.buffer]);
    void ask({ type: "two", bytes } as { type: string }, [bytes.buffer]);
    await settleLinks();
    expect(transfers).toEqual([[bytes.buffer]]);
    expect(bytes.byteLength).toBe(0);
    expect(batches).toHaveLength(1);
  });

  test("[ACT-11] a peer that takes nothing in is refused more at a bound, and again welcome when it caught up", async () => {
    const { port, calls } = fakePort();
    const owner = { logger: recordingLogger(), afterIo() {}, answersArrived() {}, askFailed() {}, deadLetter() {} };
    const link = new PeerLink(
      "ingest:0",
      { ...port, deliver: (batch) => port.deliver({ ...batch, messages: [] }, []) },
      owner,
    );
    const frame = ["ingest", "", "", 0, "", { type: "x" }] as const;
    let taken = 0;
    while (taken < 1_000_000 && link.send(frame)) taken += 1;
    expect(taken).toBeLessThan(210_000);
    for (const call of calls) call.resolve(undefined);
    await settleLinks();
    expect(link.send(frame)).toBe(true);
  });
});
