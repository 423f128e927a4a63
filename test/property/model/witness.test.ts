import { describe, expect, test } from "bun:test";
import { prevBatchAt } from "./classic-sync.ts";
import type { ModelEvent } from "./homeserver-room.ts";
import type { WireEvent, WireRoom } from "./model-client.ts";
import { ModelHomeserver } from "./model-homeserver.ts";
import { Witness } from "./witness.ts";

const wire = (event: ModelEvent): WireEvent => ({
  event_id: event.id,
  type: event.type,
  sender: event.sender,
  content: event.content,
  ...(event.stateKey === null ? {} : { state_key: event.stateKey }),
});

describe("Witness", () => {
  test("[ORA-3] notices what is secret, what comes twice, and what is missing", () => {
    const hs = new ModelHomeserver();
    const room = hs.createRoom("!r", "@bob:hs");
    const say = (): WireEvent => wire(hs.send("!r", "@bob:hs", "m.room.message", { body: String(hs.pos) }));
    const secret = say();
    const join = wire(hs.setMember("!r", "@alice:hs", "join"));
    const [first, second, third] = [say(), say(), say()];
    const told: string[] = [];
    const look = (given: WireRoom, timeline: WireEvent[] = []): number => {
      told.length = 0;
      const entry = given.initial === true ? given : { num_live: given.timeline?.length ?? 0, ...given };
      const known = entry.initial === true ? undefined : { head: {}, timeline, state: new Map<string, WireEvent>() };
      new Witness(hs, "@alice:hs", "A", (what) => told.push(what)).look(room.id, entry, known);
      return told.length;
    };
    expect(look({ initial: true, timeline: [join, first, second, third] })).toBe(0);
    expect(look({ initial: true, limited: true, timeline: [secret, join] })).toBe(1);
    expect(look({ initial: true, timeline: [second, third] })).toBe(1);
    expect(look({ initial: true, limited: true, prev_batch: prevBatchAt(5), timeline: [second, third] })).toBe(0);
    expect(look({ initial: true, limited: true, prev_batch: prevBatchAt(4), timeline: [second, third] })).toBe(1);
    expect(look({ timeline: [third] }, [first])).toBe(1);
    expect(look({ timeline: [third], limited: true }, [first])).toBe(0);
    expect(look({ timeline: [first] }, [first])).toBeGreaterThan(0);
    expect(look({ timeline: [{ ...third, unsigned: { transaction_id: "t" } }] }, [second])).toBe(1);
    expect(look({ timeline: [{ ...third, content: {} }] }, [second])).toBe(1);
    expect(look({ timeline: [third], num_live: 2 }, [second])).toBe(1);
    expect(look({ initial: true, limited: true, timeline: [third], num_live: 2 })).toBe(1);
    expect(look({ initial: true, name: "room 99" })).toBe(1);
  });
});
