import { beforeEach, describe, expect, test } from "bun:test";
import type { Exchange } from "#web/model/traffic.ts";
import { failureText, Http } from "#web/session/http.ts";
import { findHomeserver, logIn, recogniseToken, RoomActions, ssoAddress } from "#web/session/homeserver.ts";

const HS = "https://hs.example.org";
const ACCOUNT = { homeserver: HS, userId: "@a:hs", deviceId: "D", accessToken: "sesame", isOwnDevice: true };

interface Request {
  url: string;
  init: RequestInit;
}

let requests: Request[];
let exchanges: Exchange[];
let reply: (url: string) => Response | Error;
let http: Http;

beforeEach(() => {
  requests = [];
  exchanges = [];
  reply = () => Response.json({});
  let mono = 0;
  http = new Http(
    {
      fetch: async (url, init) => {
        requests.push({ url, init });
        const given = reply(url);
        if (given instanceof Error) throw given;
        return given;
      },
      now: () => 5,
      mono: () => (mono += 3),
      after: () => () => undefined,
      randomId: () => "id",
      storage: { getItem: () => null, setItem: () => undefined, removeItem: () => undefined },
    },
    (exchange) => exchanges.push(exchange),
  );
});

function bodyOf(index: number): unknown {
  const body = requests[index]?.init.body;
  return typeof body === "string" ? JSON.parse(body) : null;
}

describe("Http", () => {
  test("[CNS-90] every exchange is told twice: when it begins, and what became of it; headers never", async () => {
    reply = () => Response.json({ ok: "ü" });
    await http.call({
      method: "PUT",
      url: `${HS}/x`,
      path: "/x",
      accessToken: "sesame",
      body: { a: 1 },
      deadlineMs: 1,
    });
    expect(
      exchanges.map(({ outcome, status, requestBytes, responseBytes }) => [
        outcome,
        status,
        requestBytes,
        responseBytes,
      ]),
    ).toEqual([
      ["waiting", null, 7, 0],
      ["answered", 200, 7, 11],
    ]);
    expect(exchanges[1]).toMatchObject({
      id: 1,
      durationMs: 3,
      request: '{"a":1}',
      response: '{"ok":"ü"}',
      path: "/x",
    });
    expect(new Headers(requests[0]?.init.headers).get("authorization")).toBe("Bearer sesame");
    expect(JSON.stringify(exchanges)).not.toContain("sesame");
  });

  test("[CNS-91] no answer is an answer too, and says whether it was our own doing", async () => {
    reply = () => new Error("refused");
    const call = { method: "GET", url: HS, path: "/", accessToken: null, deadlineMs: 1 } as const;
    const answer = await http.call(call);
    expect([answer.status, answer.isCutShort, failureText(answer), exchanges[1]?.outcome]).toEqual([
      0,
      false,
      "no answer",
      "failed",
    ]);
    const cut = await http.call({ ...call, signal: AbortSignal.abort() });
    expect([cut.isCutShort, exchanges[3]?.outcome]).toEqual([true, "cut short"]);
    reply = () => Response.json({ errcode: "M_X", error: "no" }, { status: 429, headers: { "retry-after": "2" } });
    const limited = await http.call(call);
    expect([failureText(limited), limited.retryAfterMs]).toEqual(["no (M_X)", 2000]);
  });
});

describe("logging in", () => {
  test("[CNS-92] the first place where a homeserver answers is taken", async () => {
    reply = (url) =>
      url.startsWith("/")
        ? Response.json({ flows: [{ type: "m.login.password" }, { type: "m.login.sso" }, { type: "m.login.token" }] })
        : new Error("unreachable");
    expect(await findHomeserver(http, [HS, ""])).toEqual({
      value: { homeserver: "", hasPassword: true, hasSso: true },
    });
    expect(requests.map(({ url }) => url)).toEqual([`${HS}/_matrix/client/v3/login`, "/_matrix/client/v3/login"]);
    reply = () => Response.json({ errcode: "M_UNRECOGNIZED", error: "Unrecognized request" }, { status: 404 });
    expect(await findHomeserver(http, [HS])).toEqual({ failure: `${HS}: Unrecognized request (M_UNRECOGNIZED)` });
  });

  test("[CNS-93] password and token of single sign-on make a device, a token brought along does not; none is shown", async () => {
    reply = () => Response.json({ user_id: "@a:hs", device_id: "D", access_token: "sesame" });
    expect(await logIn(http, HS, { user: "a", password: "opens" })).toEqual({ value: ACCOUNT });
    expect(bodyOf(0)).toMatchObject({ type: "m.login.password", identifier: { type: "m.id.user", user: "a" } });
    expect(await logIn(http, HS, { loginToken: "once-sesame" })).toEqual({ value: ACCOUNT });
    expect(bodyOf(1)).toMatchObject({ type: "m.login.token", token: "once-sesame" });
    reply = () => Response.json({ user_id: "@a:hs", device_id: "D" });
    expect(await recogniseToken(http, HS, "sesame")).toEqual({ value: { ...ACCOUNT, isOwnDevice: false } });
    expect(JSON.stringify(exchanges)).not.toMatch(/sesame|opens/);
    reply = () => Response.json({ errcode: "M_FORBIDDEN", error: "Wrong" }, { status: 403 });
    expect(await logIn(http, HS, { user: "a", password: "b" })).toEqual({ failure: "Wrong (M_FORBIDDEN)" });
    expect(ssoAddress(HS, "https://g/client/")).toBe(
      `${HS}/_matrix/client/v3/login/sso/redirect?redirectUrl=https%3A%2F%2Fg%2Fclient%2F`,
    );
  });
});

describe("RoomActions", () => {
  test("[CNS-94] what a member does goes to the homeserver, ids encoded, and failures are told", async () => {
    const actions = new RoomActions(http, ACCOUNT);
    reply = () => Response.json({ event_id: "$1" });
    expect(await actions.send("!a/b:hs", "t/1", "hi")).toEqual({ value: "$1" });
    expect([await actions.join("!a:hs"), await actions.leave("!a:hs"), await actions.logOut()]).toEqual([
      null,
      null,
      null,
    ]);
    expect(await actions.markRead("!a:hs", "$1")).toBeNull();
    expect(requests.map(({ url, init }) => `${init.method} ${url.slice(HS.length + 18)}`)).toEqual([
      "PUT /rooms/!a%2Fb%3Ahs/send/m.room.message/t%2F1",
      "POST /rooms/!a%3Ahs/join",
      "POST /rooms/!a%3Ahs/leave",
      "POST /logout",
      "POST /rooms/!a%3Ahs/read_markers",
    ]);
    reply = () => Response.json({ errcode: "M_FORBIDDEN", error: "No" }, { status: 403 });
    expect([await actions.send("!a", "t", "x"), await actions.join("!a")]).toEqual([
      { failure: "No (M_FORBIDDEN)" },
      "No (M_FORBIDDEN)",
    ]);
  });

  test("[CNS-95] history comes oldest first, and ends where the homeserver says", async () => {
    const event = (id: string) => ({ event_id: id, type: "m.room.message", content: {} });
    reply = () => Response.json({ chunk: [event("$2"), event("$1"), { broken: true }], end: "e" });
    const actions = new RoomActions(http, ACCOUNT);
    expect(await actions.history("!a", "f+1")).toEqual({ value: { events: [event("$1"), event("$2")], end: "e" } });
    expect(requests[0]?.url).toEndWith("/messages?dir=b&limit=50&from=f%2B1");
    reply = () => Response.json({ chunk: [], end: "e" });
    expect(await actions.history("!a", "f")).toEqual({ value: { events: [], end: null } });
  });
});
