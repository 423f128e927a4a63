import { afterAll, beforeAll, describe, expect, test } from "bun:test";
import { FrontRig } from "#test/support/front-rig.ts";
import type { Session } from "#test/support/homeserver.ts";
import { until } from "#test/support/until.ts";
import { NO_TRAFFIC, noteExchange, type Traffic } from "#web/model/traffic.ts";
import { DIALECTS, type DialectName } from "#web/model/wire.ts";
import { Client } from "#web/session/client.ts";
import { Http } from "#web/session/http.ts";
import { findHomeserver } from "#web/session/homeserver.ts";
import type { Browser } from "#web/browser.ts";

const ALICE = "@alice:test";
const COUNT = 60;
const NAMES = Array.from({ length: COUNT }, (_, index) => `r${index}`);
/** A room comes from the lower window to the top of the upper one: each loses one room and gains one. */
const OPS = { msc3575: ["DELETE", "INSERT", "DELETE", "INSERT"], simplified: ["SYNC", "SYNC"], v4: [] } as const;
let rig: FrontRig;
let alice: Session;

/** The console's code with the network as the tests have it, and without a wait for scrolling to come to rest. */
const browser = (): Browser => ({
  fetch: (url, init) => fetch(url.startsWith("/") ? rig.url + url : url, init),
  now: () => 0,
  mono: () => performance.now(),
  after: (ms, work) => {
    const timer = setTimeout(work, ms < 1000 ? 0 : ms);
    return () => clearTimeout(timer);
  },
  randomId: () => crypto.randomUUID().slice(0, 6),
  storage: { getItem: () => null, setItem: () => undefined, removeItem: () => undefined },
});

function start(dialect: DialectName): { client: Client; traffic: () => Traffic; http: Http } {
  let traffic = NO_TRAFFIC;
  const http = new Http(browser(), (exchange) => {
    traffic = noteExchange(traffic, exchange);
  });
  const { accessToken, account } = { accessToken: alice.accessToken, account: alice.account };
  const client = new Client({
    browser: browser(),
    http,
    dialect,
    account: { homeserver: "", userId: account.userId, deviceId: "D", accessToken, isOwnDevice: false },
  });
  return { client, traffic: () => traffic, http };
}

const shown = (client: Client, from: number, to: number): (string | undefined)[] =>
  Array.from({ length: to - from + 1 }, (_, offset) => client.list.at(from + offset));

/** The rooms by their last message, newest first. */
const order = (...newest: string[]): string[] =>
  [...newest, ...NAMES.toReversed().filter((name) => !newest.includes(name))].map((name) => `!${name}:test`);

beforeAll(async () => {
  rig = await FrontRig.start({ isForwarding: true });
  alice = rig.account("alice", rig.joined(ALICE, NAMES));
});
afterAll(() => rig.stop());

describe("the console's client", () => {
  const newest: string[] = [];
  for (const [index, dialect] of DIALECTS.entries()) {
    test(`[CNS-100] ${dialect}: the top, a window far down, and news, as the server has them`, async () => {
      const { client, traffic } = start(dialect);
      try {
        await until("the first window", () => client.list.count === COUNT && client.list.at(19) !== undefined);
        expect(shown(client, 0, 19)).toEqual(order(...newest).slice(0, 20));
        client.look({ first: 40, last: 48 });
        await until("the second window", () => client.list.at(48) !== undefined);
        expect(shown(client, 40, 48)).toEqual(order(...newest).slice(40, 49));
        const name = `r${index + 3}`;
        await rig.poll(alice, rig.message(ALICE, name, `news in ${dialect}`));
        newest.unshift(name);
        await until("the bump", () => client.list.at(0) === `!${name}:test`);
        expect(shown(client, 0, 19)).toEqual(order(...newest).slice(0, 20));
        expect(client.room(`!${name}:test`)?.timeline.at(-1)?.content["body"]).toBe(`news in ${dialect}`);
        const { exchanges } = traffic();
        const brought = exchanges.find(({ sync }) => sync?.roomsUpdated === 1);
        expect(brought?.sync?.ops.map(({ op }) => op) ?? []).toEqual([...OPS[dialect]]);
      } finally {
        client.stop();
      }
    });
  }

  test("[CNS-101] behind one origin the console is served, and finds the homeserver where it came from", async () => {
    const remove = rig.node.homeserver.onRequest(({ pathname, method }) =>
      pathname.endsWith("/login") && method === "GET"
        ? Response.json({ flows: [{ type: "m.login.password" }] })
        : undefined,
    );
    const page = await fetch(`${rig.url}/client/`);
    expect([page.status, page.headers.get("content-type")]).toEqual([200, "text/html; charset=utf-8"]);
    const settings = (await (await fetch(`${rig.url}/client/console.json`)).json()) as { homeservers: string[] };
    expect(settings).toMatchObject({ homeservers: [""], dialects: [...DIALECTS], hasAdmin: false });
    const { client, http } = start("simplified");
    client.stop();
    const found = await findHomeserver(http, settings.homeservers);
    expect(found).toEqual({ value: { homeserver: "", hasPassword: true, hasSso: false } });
    remove();
  });
});
