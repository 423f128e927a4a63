import { afterEach, describe, expect, test } from "bun:test";
import { SyncError } from "#src/errors.ts";
import type { Asked } from "#actors/runtime/actor.ts";
import { linkPeer } from "#actors/runtime/comlink.ts";
import { at, kindOf, soloHost } from "./rig.ts";

type Message =
  | Asked<{ type: "length"; bytes: Uint8Array<ArrayBuffer> }, number>
  | Asked<{ type: "give" }, Uint8Array<ArrayBuffer>>
  | Asked<{ type: "give-later" }, string>
  | Asked<{ type: "fail" }, never>
  | Asked<{ type: "crash" }, never>
  | Asked<{ type: "unclonable" }, unknown>;

const open: MessagePort[] = [];

afterEach(() => {
  for (const port of open.splice(0)) port.close();
});

/** Two hosts over a real MessageChannel. */
function pair() {
  const { port1, port2 } = new MessageChannel();
  open.push(port1, port2);
  const main = soloHost("main");
  const ingest = soloHost("ingest");
  linkPeer(main.host, "ingest:0", port1);
  linkPeer(ingest.host, "main:0", port2);
  const given = new Uint8Array([1, 2, 3]);
  ingest.host.addKinds({
    probe: kindOf<Message>(() => ({
      receive(message) {
        switch (message.type) {
          case "length":
            message.reply.resolve(message.bytes.byteLength);
            return;
          case "give":
            message.reply.resolve(given, [given.buffer]);
            return;
          case "give-later":
            setImmediate(() => message.reply.resolve("later"));
            return;
          case "fail":
            message.reply.reject(new SyncError("limit_exceeded", "too many", { cause: new Error("hidden") }));
            return;
          case "crash":
            throw new Error("a text with secrets");
          case "unclonable":
            message.reply.resolve(() => {});
        }
      },
    })),
  });
  const ask = <T>(message: { type: string }, transfer: Transferable[] = []): Promise<T> =>
    main.host.ask<T>(at("x", "ingest:0"), message, { deadlineMs: 5000, transfer });
  return { main, ingest, ask, given, port1 };
}

const failureOf = (answer: Promise<unknown>): Promise<unknown> =>
  answer.then(
    () => null,
    (error: unknown) => error,
  );

describe("hosts over a wire", () => {
  test("[ACT-10] bytes move both ways without a copy", async () => {
    const { ask, given } = pair();
    const bytes = new Uint8Array(100_000);
    const question = { type: "length", bytes };
    expect(await ask<number>(question, [bytes.buffer])).toBe(100_000);
    expect(bytes.byteLength).toBe(0);
    expect([...(await ask<Uint8Array>({ type: "give" }))]).toEqual([1, 2, 3]);
    expect(given.byteLength).toBe(0);
  });

  test("[ACT-8] an answer given in a later turn of the event loop arrives as well", async () => {
    expect(await pair().ask<string>({ type: "give-later" })).toBe("later");
  });

  test("[ACT-12] a failure keeps its code and message; the cause stays where it was", async () => {
    const failure = await failureOf(pair().ask({ type: "fail" }));
    expect(failure).toBeInstanceOf(SyncError);
    expect(failure).toMatchObject({ code: "limit_exceeded", message: "too many" });
    expect((failure as Error).cause).toBeUndefined();
  });

  test("[ACT-12] the text of an unexpected error does not leave its host", async () => {
    const failure = await failureOf(pair().ask({ type: "crash" }));
    expect(failure).toMatchObject({ code: "actor_stopped" });
    expect(String(failure)).not.toContain("secret");
  });

  test("[ACT-10] an answer that cannot be cloned is an error for the asker, not a silence", async () => {
    expect(await failureOf(pair().ask({ type: "unclonable" }))).toMatchObject({ code: "internal" });
  });

  test("[ACT-13] malformed frames are dropped and counted, and what is beside them is delivered", async () => {
    const { ingest, ask } = pair();
    const link = ingest.host.attach("sync:0", { isNear: false, deliver: () => Promise.resolve(undefined), close() {} });
    const good = ["probe", "x", "ingest:0", 7, "", { type: "length", bytes: new Uint8Array(4) }];
    const bad = [
      null,
      {},
      [],
      ["nobody", "", "", 0, "", { type: "x" }],
      ["probe", 1, "", 0, "", { type: "x" }],
      ["probe", "x", "ingest:0", 0, "", {}],
    ];
    const taken = ingest.host.take(link, { v: 1, messages: [...bad, good], answers: ["?", [1, 2]] });
    expect(taken.answers).toEqual([[7, null, 4]]);
    expect(ingest.metrics.of("actor_dead_letters_total", { kind: "unknown", reason: "bad_frame" })).toBe(
      bad.length + 2,
    );
    for (const batch of [null, 3, { v: 2, messages: [], answers: [] }, { v: 1, messages: 4, answers: [] }]) {
      expect(ingest.host.take(link, batch).answers).toBeUndefined();
    }
    const question = { type: "length", bytes: new Uint8Array(2) };
    expect(await ask<number>(question)).toBe(2);
  });
});
