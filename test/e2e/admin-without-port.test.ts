import { afterAll, expect, test } from "bun:test";
import { stat } from "node:fs/promises";
import { join } from "node:path";
import type { Overview } from "#src/admin/api.ts";
import { response } from "#test/support/black-box.ts";
import { CannedHomeserver } from "#test/support/canned-homeserver.ts";
import { temporaryDirectory } from "#test/support/database.ts";
import { startGlissadeBefore } from "#test/support/glissade-before.ts";

const LIMIT_MS = 120_000;
const LIST = { lists: { all: { ranges: [[0, 9]], timeline_limit: 1, required_state: [] } } };

const cleanup = new AsyncDisposableStack();
const homeserver = cleanup.use(new CannedHomeserver());
afterAll(() => cleanup.disposeAsync(), LIMIT_MS);

test(
  "[ADM-15] a unix socket is for this user alone, and needs no token",
  async () => {
    const socket = join(cleanup.use(await temporaryDirectory()).path, "admin.sock");
    await startGlissadeBefore(homeserver.url, "PGlite", cleanup, { SYNCV3_ADMIN: socket });
    expect((await stat(socket)).mode & 0o777).toBe(0o600);
    const answer = await fetch("http://localhost/admin/v1/overview", { unix: socket });
    const overview = (await answer.json()) as Overview;
    expect(overview.hosts.map(({ host }) => host)).toContain("store:0");
    expect(overview.hosts.every(({ vitals }) => vitals !== null)).toBe(true);
    for (const url of ["/database", "/users/@a:b", "/audit", "/quarantine", "/resyncs"]) {
      expect((await fetch(`http://localhost/admin/v1${url}`, { unix: socket })).status).toBe(200);
    }
  },
  LIMIT_MS,
);

test(
  "[ADM-17] without an admin listener explain tells what is stored, and says that it is no more than that",
  async () => {
    const glissade = await startGlissadeBefore(homeserver.url, "PGlite", cleanup);
    const user = { id: "@stored:localhost", token: "token-of-stored" };
    homeserver.addToken(user.token, user.id, "FOO");
    homeserver.queue(user.token, response([], { next_batch: "s1" }));
    const synced = await glissade.fetch("/_matrix/client/v3/sync?timeout=20", {
      method: "POST",
      headers: { authorization: `Bearer ${user.token}` },
      body: JSON.stringify(LIST),
    });
    expect(synced.status).toBe(200);
    const served = await glissade.command("explain", user.id);
    expect(served.out).toContain("device FOO");
    expect(served.out).toContain("From the database alone");
    await glissade.kill("SIGTERM");
    const alone = await glissade.command("explain", user.id);
    expect(alone).toMatchObject({ code: 0, err: "" });
    expect(alone.out).toContain("first sync: stored");
  },
  LIMIT_MS,
);
