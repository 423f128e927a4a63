import { expect, test } from "bun:test";
import fc from "fast-check";
import { ResponseLog } from "#src/protocol/engine/response-log.ts";

type Answer = number | "unknown";

/** The rules as they are written down, with everything kept for ever: what a request is answered with. */
class NaiveLog {
  #buffered: number[] = [];
  #last: { pos: number; body: string } | null = null;
  #lastSeq = 0;

  ask(pos: number, body: string): Answer {
    if (pos !== this.#last?.pos && !this.#buffered.includes(pos) && !(pos === 0 && this.#last === null))
      return "unknown";
    this.#buffered = this.#buffered.filter((seq) => seq >= pos);
    const next = this.#buffered.find((seq) => seq > pos);
    if (next !== undefined && body === this.#last?.body) return next;
    this.#lastSeq += 1;
    this.#buffered.push(this.#lastSeq);
    this.#last = { pos, body };
    return next ?? this.#lastSeq;
  }
}

const asked = fc.record({
  /** Of the answers so far, counted from the newest: mostly the newest, as clients have it. */
  back: fc.oneof(
    { weight: 5, arbitrary: fc.constant(0) },
    { weight: 3, arbitrary: fc.nat(3) },
    { weight: 1, arbitrary: fc.nat(20) },
  ),
  body: fc.constantFrom("a", "a", "b", "c"),
});

test("[CON-104] any order of requests is answered as the rules say, and never with what was acknowledged", () => {
  fc.assert(
    fc.property(fc.array(asked, { maxLength: 40 }), (requests) => {
      const log = new ResponseLog(0);
      const naive = new NaiveLog();
      const answers = [0];
      let unacknowledged = 0;
      for (const { back, body } of [{ back: 0, body: "first" }, ...requests]) {
        const pos = answers.at(-1 - Math.min(back, answers.length - 1)) ?? 0;
        const resolution = log.resolve(pos, body);
        // So many that they are not kept: the client starts from its position instead.
        if (resolution.kind === "rewind") return;
        let answer: Answer = "unknown";
        if (resolution.kind === "replay") answer = resolution.response.seq;
        if (resolution.kind === "process") {
          const seq = log.nextSeq;
          log.add({ seq, pos: "", body: new Uint8Array(0), rooms: 0, ops: 0 });
          answer = resolution.replay?.seq ?? seq;
          unacknowledged = seq - pos;
        }
        if (unacknowledged > 7) return;
        expect(answer).toBe(naive.ask(pos, body));
        if (answer === "unknown") continue;
        expect(answer).toBeGreaterThan(pos);
        answers.push(answer);
      }
    }),
    { numRuns: 2000 },
  );
});
