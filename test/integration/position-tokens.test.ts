import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import { SimplifiedClient } from "#test/support/simplified-client.ts";

describe("a pos in requests that the homeserver answers", () => {
  let rig: FrontRig;
  /** Queries of the requests for history that reached the homeserver. */
  const asked: Record<string, string>[] = [];

  beforeAll(async () => {
    rig = await FrontRig.start({ isForwarding: true });
    rig.node.homeserver.onRequest(({ pathname, query }) => {
      if (!/\/(?:messages|relations\/.*)$/.test(pathname)) return undefined;
      asked.push({ ...query });
      return Response.json({ chunk: [], start: query["from"] ?? "" });
    });
  });
  afterAll(() => rig.stop());

  const page = async (me: Session, path: string, query: Record<string, string>): Promise<Record<string, string>> => {
    const text = new URLSearchParams(query).toString();
    const headers = { authorization: `Bearer ${me.accessToken}` };
    const answer = await fetch(`${rig.url}/_matrix/client/v3/rooms/!a%3Atest/${path}?${text}`, { headers });
    expect(answer.status).toBe(200);
    return asked.at(-1) ?? {};
  };

  test("[FWD-93] it stands for the token at its place in the room, or for the device's own place where nothing is newer", async () => {
    const id = "@alice:test";
    const me = rig.account("alice", rig.joined(id, ["a", "b"]));
    const client = new SimplifiedClient(rig, me, "v4");
    const body = { lists: { all: { range: [0, 9], required_state: {}, timeline_limit: 1 } } };
    const first = (await client.sync(body)).pos;
    // Nothing came since.
    expect(await page(me, "messages", { dir: "b", from: first, limit: "7" })).toEqual({
      dir: "b",
      from: "alice-1",
      limit: "7",
    });
    expect(await page(me, "messages", { dir: "f", from: first })).toEqual({ dir: "f", from: "alice-1" });
    const hears = (name: string, text: string, token: string): Promise<void> =>
      rig.poll(me, {
        rooms: { join: { [`!${name}:test`]: { timeline: { events: [rig.say(id, text)], prev_batch: token } } } },
      });
    await hears("b", "elsewhere", "p-elsewhere");
    await hears("a", "1", "p-1");
    const second = (await client.sync(body)).pos;
    await hears("a", "2", "p-2");
    const third = (await client.sync(body)).pos;
    const from = async (pos: string, dir = "b"): Promise<unknown> =>
      (await page(me, "messages", { dir, from: pos }))["from"];
    expect([await from(first), await from(second)]).toEqual(["p-1", "p-2"]);
    expect([await from(first, "f"), await from(second, "f")]).toEqual(["p-1", "p-2"]);
    expect(await from(third, "f")).toStartWith("next-");
    expect(await page(me, "relations/$e", { to: first, dir: "b", from: third })).toEqual({
      to: "p-1",
      dir: "b",
      from: String(await from(third, "f")),
    });
    // Tokens of the homeserver stay, and positions that it is asked about by strangers.
    expect(await from("s1_2")).toBe("s1_2");
    const stranger = rig.node.homeserver.addAccount("stranger", "strange");
    expect((await page(stranger, "messages", { dir: "b", from: first }))["from"]).toBe(first);
  });

  test("[FWD-94] a position within what came in one piece is rounded to the side on which nothing is missed", async () => {
    const id = "@bob:test";
    const me = rig.account("bob", rig.joined(id, ["a"]));
    const client = new SimplifiedClient(rig, me, "v4");
    const body = { lists: { all: { range: [0, 9], required_state: {}, timeline_limit: 1 } } };
    await client.sync(body);
    const texts = (count: number): unknown[] => Array.from({ length: count }, (_, index) => rig.say(id, `m${index}`));
    const hears = (count: number, more: Record<string, unknown>): Promise<void> =>
      rig.poll(me, { rooms: { join: { "!a:test": { timeline: { events: texts(count), ...more } } } } });
    await hears(3, { prev_batch: "q-1" });
    const pos = (await client.sync(body)).pos;
    await hears(2, {});
    await hears(2, { prev_batch: "q-3" });
    expect((await page(me, "messages", { dir: "b", from: pos }))["from"]).toBe("q-3");
    expect((await page(me, "messages", { dir: "f", from: pos }))["from"]).toBe("q-1");
    // Far behind: what is in between is paged over once more.
    for (let count = 0; count < 5; count += 1) await hears(50, { prev_batch: `r-${count}` });
    expect((await page(me, "messages", { dir: "b", from: pos }))["from"]).toBe("r-1");
    expect((await page(me, "messages", { dir: "f", from: pos }))["from"]).toBe("q-1");
  });
});
