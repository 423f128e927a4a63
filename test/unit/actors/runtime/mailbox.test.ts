import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { Mailbox } from "#actors/runtime/mailbox.ts";

type Step = { do: "offer" | "own" | "signal"; value: number } | { do: "take" | "takeSignal" };

const step: fc.Arbitrary<Step> = fc.oneof(
  fc.record({ do: fc.constantFrom("offer" as const, "own" as const, "signal" as const), value: fc.nat(1000) }),
  fc.record({ do: fc.constantFrom("take" as const, "takeSignal" as const) }),
);

describe("Mailbox", () => {
  test("[ACT-1] agrees with two arrays under any sequence of steps and any bound", () => {
    fc.assert(
      fc.property(
        fc.oneof(fc.nat(12), fc.constant("unbounded" as const)),
        fc.array(step, { maxLength: 400 }),
        (limit, steps) => {
          const mailbox = new Mailbox<number, number>(limit);
          const messages: number[] = [];
          const signals: number[] = [];
          const bound = limit === "unbounded" ? Number.POSITIVE_INFINITY : limit;
          for (const taken of steps) {
            switch (taken.do) {
              case "offer": {
                const fits = messages.length < bound;
                if (fits) messages.push(taken.value);
                expect(mailbox.offer(taken.value)).toBe(fits);
                break;
              }
              case "own":
                messages.push(taken.value);
                mailbox.offerOwn(taken.value);
                break;
              case "signal":
                signals.push(taken.value);
                mailbox.signal(taken.value);
                break;
              case "take":
                expect(mailbox.take()).toBe(messages.shift());
                break;
              case "takeSignal":
                expect(mailbox.takeSignal()).toBe(signals.shift());
            }
            expect(mailbox.depth).toBe(messages.length);
            expect(mailbox.isEmpty).toBe(messages.length + signals.length === 0);
          }
        },
      ),
    );
  });

  test("[ACT-1] keeps order through a burst and after giving its memory back", () => {
    const mailbox = new Mailbox<number, never>("unbounded");
    for (const size of [5000, 3, 700]) {
      for (let i = 0; i < size; i++) mailbox.offer(i);
      const taken = Array.from({ length: size }, () => mailbox.take());
      expect(taken).toEqual(Array.from({ length: size }, (_, i) => i));
      expect(mailbox.take()).toBeUndefined();
    }
  });
});
