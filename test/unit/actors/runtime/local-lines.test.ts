import { describe, expect, test } from "bun:test";
import type { Asked } from "#actors/runtime/actor.ts";
import { LocalLines } from "#actors/runtime/local-lines.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { at, kindOf, outcomeOf, soloHost } from "./rig.ts";

type Message = { type: "note"; data: object } | Asked<{ type: "echo"; data: object }, object>;

/** Two hosts of one thread, of which `join` links one to the other. */
function pair() {
  const lines = new LocalLines();
  const main = soloHost("main");
  const ingest = soloHost("ingest");
  const noted: object[] = [];
  ingest.host.addKinds({
    probe: kindOf<Message>(() => ({
      receive(message) {
        if (message.type === "note") noted.push(message.data);
        else message.reply.resolve(message.data);
      },
    })),
  });
  const note = (data: object): void => {
    const message = { type: "note", data };
    main.host.tell(at("x", "ingest:0"), message);
  };
  const echo = (data: object): Promise<object> => {
    const message = { type: "echo", data };
    return main.host.ask<object>(at("x", "ingest:0"), message, { deadlineMs: 1000 });
  };
  return {
    main,
    ingest,
    noted,
    note,
    echo,
    joinMain: (line: number) => lines.link(line, main.host, "ingest:0"),
    joinIngest: (line: number) => lines.link(line, ingest.host, "main:0"),
  };
}

describe("LocalLines", () => {
  test("[ACT-15] what is sent arrives as it is, in order, with the end of the task and not before", async () => {
    const { joinMain, joinIngest, note, noted, echo } = pair();
    joinMain(1);
    joinIngest(1);
    const [first, second, third] = [{}, {}, {}];
    note(first);
    note(second);
    expect(noted).toEqual([]);
    // No round of the event loop: promises alone.
    await settlePromises();
    expect(noted[0]).toBe(first);
    expect(noted[1]).toBe(second);
    expect(await echo(third)).toBe(third);
  });

  test("[ACT-15] what is sent before the other end is there arrives when it is, in order", async () => {
    const { joinMain, joinIngest, note, noted, echo } = pair();
    joinMain(1);
    const [first, second] = [{ n: 1 }, { n: 2 }];
    note(first);
    await settlePromises();
    const answer = echo({ n: 3 });
    await settlePromises();
    joinIngest(1);
    expect(noted).toEqual([]);
    note(second);
    expect(await answer).toEqual({ n: 3 });
    await settlePromises();
    expect(noted).toEqual([first, second]);
  });

  test("[ACT-15] each life has lines of its own: nothing reaches the life before or after", async () => {
    const { joinMain, joinIngest, note, noted, main, echo } = pair();
    joinMain(1);
    joinIngest(1);
    // The peer dies and comes back: main has not heard of the new line yet.
    joinIngest(2);
    note({});
    const lost = outcomeOf(echo({}));
    await settlePromises();
    expect(noted).toEqual([]);
    main.host.detach("ingest:0");
    expect(await lost).toBe("actor_stopped");
    joinMain(2);
    expect(await outcomeOf(echo({}))).toBe("ok: [object Object]");
  });
});
