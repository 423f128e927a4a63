import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { GlissadeProcess } from "#test/support/glissade-process.ts";
import type { WireEvent } from "#test/support/naive-client.ts";
import type { SimplifiedAnswer, SimplifiedRoom } from "#test/support/simplified-client.ts";
import { startSynapse, type Synapse, type SynapseUser, synapseProblem } from "#test/support/synapse.ts";
import { until } from "#test/support/until.ts";

const STEP_MS = 240_000;
const PATH = "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync?timeout=0";
const MESSAGES = 30;
const problem = synapseProblem();

interface Page {
  chunk: WireEvent[];
  end?: string;
}

describe.skipIf(problem !== null)(`history of rooms on Synapse${problem === null ? "" : ` (${problem})`}`, () => {
  let synapse: Synapse;
  let glissade: GlissadeProcess;
  let dataDir: string;
  let alice: SynapseUser;
  let bob: SynapseUser;
  let room: string;
  let redacted: string;

  beforeAll(async () => {
    synapse = await startSynapse({ stateAfter: false });
    [alice, bob] = [await synapse.register("alice"), await synapse.register("bob")];
    room = await alice.createRoom({ name: "Old room", preset: "public_chat" });
    await bob.join(room);
    const said: string[] = [];
    for (let index = 0; index < MESSAGES; index += 1) {
      said.push(await (index % 2 === 0 ? alice : bob).say(room, `message ${index}`));
    }
    redacted = said[MESSAGES - 5] ?? "";
    await alice.call("PUT", `/rooms/${encodeURIComponent(room)}/redact/${encodeURIComponent(redacted)}/r`, {});
    dataDir = await mkdtemp(join(tmpdir(), "glissade-data-"));
    glissade = await GlissadeProcess.create({ SYNCV3_SERVER: synapse.url, SYNCV3_DATA: dataDir, SYNCV3_FORWARD: "1" });
    await glissade.start();
  }, STEP_MS);

  afterAll(async () => {
    await glissade?.kill();
    await synapse?.stop();
    if (dataDir !== undefined) await rm(dataDir, { recursive: true, force: true });
  }, STEP_MS);

  let connections = 0;
  /** What the room shows of itself to who asks for so much, on a connection of its own. */
  const open = async (user: SynapseUser, limit: number): Promise<SimplifiedRoom> => {
    connections += 1;
    const answer = await glissade.fetch(PATH, {
      method: "POST",
      headers: { authorization: `Bearer ${user.accessToken}` },
      body: JSON.stringify({
        conn_id: `of-its-own-${connections}`,
        room_subscriptions: { [room]: { timeline_limit: limit, required_state: [["m.room.member", "$LAZY"]] } },
      }),
    });
    expect(answer.status).toBe(200);
    const shown = ((await answer.json()) as SimplifiedAnswer).rooms[room];
    if (shown === undefined) throw new Error("the room is not in the answer");
    return shown;
  };
  /** The same, once it shows all: a slow homeserver is not waited for, but what it tells is there for who asks again. */
  const openWhole = async (
    user: SynapseUser,
    limit: number,
    isWhole: (shown: SimplifiedRoom) => boolean,
  ): Promise<SimplifiedRoom> => {
    let shown = await open(user, limit);
    await until("all of it", async () => isWhole(shown) || isWhole((shown = await open(user, limit))));
    return shown;
  };
  const page = (user: SynapseUser, query: Record<string, string>): Promise<Page> =>
    user.call<Page>(
      "GET",
      `/rooms/${encodeURIComponent(room)}/messages?${new URLSearchParams({ dir: "b", ...query })}`,
    );
  const idsOf = (events: readonly WireEvent[] = []): string[] => events.map(({ event_id: id }) => id ?? "");

  test(
    "[HIS-30] a room of which a first sync told little shows as much as its homeserver has, and pages on without a hole",
    async () => {
      for (const user of [alice, bob]) {
        const shown = await openWhole(user, 20, ({ timeline }) => timeline?.length === 20);
        const newest = await page(user, { limit: "20" });
        expect(idsOf(shown.timeline)).toEqual(idsOf(newest.chunk).reverse());
        expect(shown).toMatchObject({ initial: true, limited: true, num_live: 0 });
        expect(shown.required_state?.map(({ state_key: key }) => key).sort()).toEqual([alice.userId, bob.userId]);
        const older = await page(user, { limit: "5", from: shown.prev_batch ?? "" });
        const all = await page(user, { limit: "25" });
        expect(idsOf(older.chunk)).toEqual(idsOf(all.chunk).slice(20));
        const gone = shown.timeline?.find(({ event_id: id }) => id === redacted);
        expect(gone?.["content"]).toEqual({});
      }
    },
    STEP_MS,
  );

  test(
    "[HIS-31] a room that is shown from its creation on is not limited",
    async () => {
      const shown = await openWhole(alice, 60, ({ limited }) => limited === false);
      expect(shown.timeline?.[0]?.type).toBe("m.room.create");
      expect(idsOf(shown.timeline)).toEqual(idsOf((await page(alice, { limit: "60" })).chunk).reverse());
      expect(shown.limited).toBe(false);
    },
    STEP_MS,
  );

  test(
    "[FWD-95] a pos is as good as a token for paging on, forwards and backwards, at the homeserver's own address",
    async () => {
      const ask = async (pos?: string): Promise<SimplifiedAnswer> => {
        const answer = await glissade.fetch("/_matrix/client/v4/sync", {
          method: "POST",
          headers: { authorization: `Bearer ${bob.accessToken}` },
          body: JSON.stringify({
            conn_id: "paging",
            timeout: 20_000,
            lists: { all: { timeline_limit: 1, required_state: {} } },
            ...(pos === undefined ? {} : { pos }),
          }),
        });
        expect(answer.status).toBe(200);
        return (await answer.json()) as SimplifiedAnswer;
      };
      const pageFrom = async (path: string, query: Record<string, string>): Promise<string[]> => {
        const version = path === "messages" ? "v3" : "v1";
        const answer = await glissade.fetch(
          `/_matrix/client/${version}/rooms/${encodeURIComponent(room)}/${path}?${new URLSearchParams(query)}`,
          { headers: { authorization: `Bearer ${bob.accessToken}` } },
        );
        expect(answer.status).toBe(200);
        return idsOf(((await answer.json()) as Page).chunk);
      };
      const root = await alice.say(room, "root");
      let { pos } = await ask();
      // Whatever the poller has not told yet comes now.
      const told = async (eventId: string): Promise<void> => {
        for (;;) {
          const answer = await ask(pos);
          ({ pos } = answer);
          if (idsOf(answer.rooms[room]?.timeline).includes(eventId)) return;
        }
      };
      const before = await alice.say(room, "before");
      await told(before);
      const between = pos;
      const after = await alice.say(room, "after");
      await told(after);
      const related = await alice.call<{ event_id: string }>(
        "PUT",
        `/rooms/${encodeURIComponent(room)}/send/m.reaction/related`,
        { "m.relates_to": { rel_type: "m.annotation", event_id: root, key: "+1" } },
      );
      await told(related.event_id);
      expect(await pageFrom("messages", { dir: "b", from: between, limit: "2" })).toEqual([before, root]);
      expect(await pageFrom("messages", { dir: "f", from: between, limit: "2" })).toEqual([after, related.event_id]);
      expect(await pageFrom("messages", { dir: "b", from: pos, to: between, limit: "9" })).toEqual([
        related.event_id,
        after,
      ]);
      // The homeserver has more than the position, whether it was polled meanwhile or not.
      await alice.say(room, "not told yet");
      expect(await pageFrom("messages", { dir: "b", from: pos, limit: "2" })).toEqual([related.event_id, after]);
      expect(await pageFrom(`relations/${encodeURIComponent(root)}`, { from: between, dir: "b" })).toEqual([]);
      expect(await pageFrom(`relations/${encodeURIComponent(root)}`, { from: pos, dir: "b" })).toEqual([
        related.event_id,
      ]);
    },
    STEP_MS,
  );

  test(
    "[HIS-41] of much that one poll brings a timeline shows as much as is asked for, and pages on without a hole",
    async () => {
      await glissade.kill();
      const said: string[] = [];
      for (let index = 0; index < MESSAGES; index += 1) said.push(await alice.say(room, `in one piece ${index}`));
      await glissade.start();
      const isCut = (limit: number) => (shown: SimplifiedRoom) =>
        idsOf(shown.timeline).join() === said.slice(-limit).join();
      const exact = await openWhole(bob, 20, isCut(20));
      expect(exact.limited).toBe(true);
      const older = await page(bob, { limit: "5", from: exact.prev_batch ?? "" });
      expect(idsOf(older.chunk)).toEqual(said.slice(5, 10).reverse());
      // A few come twice, and none is missing.
      const few = await openWhole(bob, 4, isCut(4));
      const behind = idsOf((await page(bob, { limit: "20", from: few.prev_batch ?? "" })).chunk);
      expect(behind.filter((id) => !said.slice(-4).includes(id)).slice(0, 5)).toEqual(said.slice(21, 26).reverse());
      expect(behind.length).toBe(20);
    },
    STEP_MS,
  );
});
