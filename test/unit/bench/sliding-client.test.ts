import { expect, test } from "bun:test";
import { type BenchDialect, SlidingClient } from "#bench/sliding-client.ts";

interface Seen {
  path: string;
  pos: string | null;
  body: { lists: { list: Record<string, unknown> }; extensions?: { to_device: Record<string, unknown> } };
}

/** What two requests of a client say. */
async function requests(dialect: BenchDialect): Promise<Seen[]> {
  const seen: Seen[] = [];
  const server = Bun.serve({
    port: 0,
    fetch: async (request) => {
      const { pathname, searchParams } = new URL(request.url);
      // the client under test wrote it
      seen.push({ path: pathname, pos: searchParams.get("pos"), body: (await request.json()) as Seen["body"] });
      return Response.json({ pos: "p/1", extensions: { to_device: { next_batch: "t1", events: [] } } });
    },
  });
  const client = new SlidingClient({
    port: server.port ?? 0,
    dialect,
    token: "t",
    connId: "c",
    windowEnd: 9,
    timelineLimit: 3,
  });
  await client.poll(0);
  await client.poll(0);
  client.stop();
  await server.stop(true);
  return seen;
}

test("[BENCH-11] a client says everything in each request of simplified sliding sync, and of MSC3575 what changes", async () => {
  const [first, second] = await requests("simplified");
  expect(first).toMatchObject({ path: "/_matrix/client/unstable/org.matrix.simplified_msc3575/sync", pos: null });
  expect(second?.pos).toBe("p/1");
  expect(second?.body.lists).toEqual(first?.body.lists as never);
  expect(second?.body.extensions?.to_device).toEqual({ enabled: true, limit: 100, since: "t1" });
  const [whole, more] = await requests("msc3575");
  expect(whole?.path).toBe("/_matrix/client/unstable/org.matrix.msc3575/sync");
  expect(whole?.body.lists.list).toHaveProperty("sort");
  expect(more?.body).toEqual({
    conn_id: "c",
    lists: { list: { ranges: [[0, 9]] } },
    extensions: { to_device: { since: "t1" } },
  } as never);
});
