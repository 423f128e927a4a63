import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test";
import { BlackBox, joined } from "#test/support/black-box.ts";
import { SIMPLIFIED_PATH, type WireAnswer } from "#test/support/simplified-connection.ts";

/** A busy machine takes its time to start a process. */
setDefaultTimeout(120_000);

const ROOMS = 700;

describe("a black box that is killed the moment it has answered", () => {
  let box: BlackBox;
  beforeAll(async () => {
    box = await BlackBox.start();
  });
  afterAll(() => box[Symbol.asyncDispose]());

  test("[SSS-105] has told a client with many rooms of new ones, and does not send them once more", async () => {
    const alice = box.user("alice");
    const rooms = Array.from({ length: ROOMS }, (_, n) => box.roomId(`r${n}-`));
    const join = Object.fromEntries(rooms.map((roomId) => joined(roomId, { timeline: box.beginning(alice.id) })));
    box.homeserver.queue(alice.token, { next_batch: "s1", rooms: { join } });
    const ask = async (end: number, pos?: string): Promise<WireAnswer> => {
      const query = new URLSearchParams({ timeout: "0", ...(pos === undefined ? {} : { pos }) });
      const answer = await box.server.fetch(`${SIMPLIFIED_PATH}?${query}`, {
        method: "POST",
        headers: { authorization: `Bearer ${alice.token}` },
        body: JSON.stringify({ lists: { all: { ranges: [[0, end]], timeline_limit: 1, required_state: [] } } }),
      });
      expect(answer.status).toBe(200);
      return (await answer.json()) as WireAnswer;
    };
    const isInitial = ({ rooms: told }: WireAnswer): boolean => Object.values(told).every(({ initial }) => initial);
    let { pos } = await ask(19);
    for (const end of [299, 499]) {
      const grown = await ask(end, pos);
      expect([Object.keys(grown.rooms).length, isInitial(grown)]).toEqual([end === 299 ? 280 : 200, true]);
      await box.restart();
      const again = await ask(end, grown.pos);
      expect(again.rooms).toEqual({});
      ({ pos } = again);
    }
    // One that did not arrive is made anew, and nothing of it counts as told.
    await ask(ROOMS, pos);
    await box.restart();
    const anew = await ask(ROOMS, pos);
    expect([Object.keys(anew.rooms).length, isInitial(anew)]).toEqual([ROOMS - 500, true]);
  });
});
