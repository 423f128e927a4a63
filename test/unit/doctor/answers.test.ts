import { describe, expect, test } from "bun:test";
import { judgeCors } from "#src/doctor/checks/cors.ts";
import { homeserversAnswer, judgePathBytes } from "#src/doctor/checks/path-bytes.ts";
import { judgePreflights, judgeSyncPaths } from "#src/doctor/checks/sync-paths.ts";
import type { EndpointSeen } from "#src/doctor/checks/sync-paths.ts";
import { judgeAddresses, observeAddresses } from "#src/doctor/checks/reach.ts";
import type { AddressSeen } from "#src/doctor/checks/reach.ts";
import { judgeVersions } from "#src/doctor/checks/versions.ts";
import type { Finding } from "#src/doctor/finding.ts";
import type { OutsideResult } from "#src/doctor/outside.ts";
import { proxyOf } from "#src/doctor/proxy-kind.ts";
import { FakeOutside, answerOf, answered, unanswered } from "#test/support/outside.ts";

const levels = (findings: readonly Finding[]): string[] => findings.map(({ level }) => level);
const FEATURES = { "org.matrix.msc3575": true, "org.matrix.simplified_msc3575": true };
const VERSIONS = { versions: ["v1.11"], unstable_features: FEATURES };
const NATIVE = { versions: ["v1.11"], unstable_features: { "org.matrix.simplified_msc3575": true } };
const marked = (mark: string, more: object = {}) => ({ "x-glissade-probe": mark, ...more });

describe("addresses", () => {
  const at = (address: string, result: OutsideResult): AddressSeen => ({ address, mark: "a", result });
  const ours = answered(200, VERSIONS, marked("a"));
  const judge = (...seen: AddressSeen[]): readonly Finding[] => judgeAddresses(seen, "nginx");

  test("[DCT-22] every address of the name is tried, because clients choose any of them", async () => {
    expect(levels(judge(at("192.0.2.1", ours), at("2001:db8::1", ours)))).toEqual(["ok"]);
    expect(judge(at("192.0.2.1", ours), at("2001:db8::1", unanswered("ECONNREFUSED")))[0]).toMatchObject({
      level: "fail",
      text: expect.stringContaining("2001:db8::1 does not answer"),
      advice: [expect.stringContaining("listen [::]:443")],
    });
    expect(judge(at("192.0.2.1", ours), at("192.0.2.2", answered(200, VERSIONS)))[0]?.text).toContain("somebody else");
    expect(judge(at("192.0.2.1", ours), at("2001:db8::1", unanswered("ENETUNREACH")))).toMatchObject([
      { level: "ok", text: "answers at 192.0.2.1; 2001:db8::1 cannot be tried from here" },
    ]);
    const outside = new FakeOutside(() => ours);
    outside.addresses = ["192.0.2.1", "192.0.2.2"];
    const origin = { scheme: "https", host: "m.example.org", port: 443 } as const;
    const seen = await observeAddresses({
      origin,
      prefix: "",
      isBelieved: true,
      outside,
      newMark: () => "a",
      proxy: null,
    });
    expect(outside.asked.map(({ address }) => address)).toEqual(["192.0.2.1", "192.0.2.2"]);
    expect(levels(judge(...seen))).toEqual(["ok"]);
  });
});

describe("/versions", () => {
  const good = (mark: string): OutsideResult => answered(200, VERSIONS, marked(mark));
  const judge = (
    anybody: OutsideResult,
    somebody = answered(401, {}, marked("b")),
    unique = good("c"),
  ): readonly Finding[] =>
    judgeVersions(
      {
        anybody: { mark: "a", result: anybody },
        somebody: { mark: "b", result: somebody },
        unique: { mark: "c", result: unique },
      },
      "nginx",
    );
  const stranger = (anybody: OutsideResult): Finding | undefined => judge(anybody, answered(401, {}), anybody)[0];

  test("[DCT-10] what Glissade announces itself is good, from a cache that minds who asks too", () => {
    const cacheable = { "cache-control": "public, max-age=600", vary: "Authorization" };
    expect(levels(judge(answered(200, VERSIONS, marked("a", cacheable))))).toEqual(["ok"]);
    expect(levels(judge(answered(200, VERSIONS, marked("earlier", cacheable))))).toEqual(["ok"]);
  });

  test("[DCT-11] somebody else's answer is told apart from that of a homeserver with sliding sync", () => {
    expect(stranger(answered(200, { versions: [] }))?.text).toContain("do not hear of sliding sync");
    expect(stranger(answered(200, NATIVE))?.text).toContain("sliding sync of its own");
    expect(stranger(answered(404, "<html>"))?.text).toContain("does not reach Glissade");
    expect(stranger(answered(502, "<html>"))?.advice.join()).toContain("proxy_pass");
    expect(levels(judge(unanswered("ECONNRESET")))).toEqual(["fail"]);
  });

  test("[DCT-12] a homeserver that is down, or none, is told of", () => {
    expect(judge(answered(502, {}, marked("a")))[0]?.text).toContain("cannot reach the homeserver");
    expect(judge(answered(404, {}, marked("a")))[0]?.advice.join()).toContain("SYNCV3_SERVER");
    expect(judge(answered(200, { versions: ["v1.1"] }, marked("a")))[0]?.text).toContain("does not announce");
  });

  test("[DCT-13] a cache that does not mind who asks is found out, and a lost Vary is warned of", () => {
    const shared = judge(answered(200, VERSIONS, marked("a")), answered(200, VERSIONS, marked("a")));
    expect(shared[0]).toMatchObject({ level: "fail", text: expect.stringContaining("Vary: Authorization") });
    const older = judge(answered(200, VERSIONS, marked("z")), answered(200, VERSIONS, marked("z")));
    expect(levels(older)).toEqual(["fail"]);
    // A client asked before, and without a mark.
    expect(levels(judge(answered(200, VERSIONS), answered(200, VERSIONS)))).toEqual(["fail"]);
    expect(levels(judge(answered(200, VERSIONS)))).toEqual(["ok"]);
    const another = judge(answered(200, VERSIONS, marked("a")), answered(200, VERSIONS, marked("z")));
    expect(levels(another)).toEqual(["fail"]);
    const lost = judge(answered(200, VERSIONS, marked("a", { "cache-control": "public, max-age=600" })));
    expect(levels(lost)).toEqual(["warn"]);
    expect(levels(judge(answered(200, VERSIONS, marked("a", { "cache-control": "private, max-age=600" }))))).toEqual([
      "ok",
    ]);
  });
});

const ALLOWS = {
  "access-control-allow-origin": "*",
  "access-control-allow-methods": "GET, POST",
  "access-control-allow-headers": "Authorization, Content-Type",
};
const endpoint = (more: Partial<EndpointSeen> = {}): EndpointSeen => ({
  dialect: "simplified",
  path: "/sync",
  isOptional: false,
  mark: "a",
  post: answered(401, { errcode: "M_MISSING_TOKEN" }, marked("a")),
  preflight: answered(200, "", marked("a", ALLOWS)),
  ...more,
});

describe("sync paths", () => {
  const judge = (post: OutsideResult): Finding | undefined => judgeSyncPaths([endpoint({ post })], null)[0];

  test("[DCT-14] Glissade's own refusal of who has no token is good", () => {
    expect(judge(endpoint().post)?.level).toBe("ok");
    expect(judge(answered(404, { errcode: "M_UNRECOGNIZED" }, marked("a")))?.text).toContain("SYNCV3_V4=0");
    expect(judge(answered(503, {}, marked("a")))?.level).toBe("fail");
  });

  test("[DCT-15] homeserver, web page, dead end and silence are told apart", () => {
    expect(judge(answered(401, { errcode: "M_MISSING_TOKEN" }))?.text).toContain("Glissade is passed by");
    expect(judge(answered(404, { errcode: "M_UNRECOGNIZED" }))?.text).toContain("somebody else");
    expect(judge(answered(404, "<html>", { "content-type": "text/html" }))?.text).toContain("a page for people");
    expect(judge(answered(502, "<html>"))?.advice.join()).toContain("SYNCV3_BINDADDR");
    expect(judge(unanswered("ECONNRESET"))?.level).toBe("fail");
  });

  test("[DCT-16] a path that clients can do without need not come here", () => {
    const optional = endpoint({ isOptional: true, post: answered(404, { errcode: "M_UNRECOGNIZED" }) });
    expect(levels(judgeSyncPaths([endpoint(), optional], null))).toEqual(["ok"]);
  });

  test("[DCT-17] browsers are let through by status, method and headers", () => {
    const preflights = (preflight: OutsideResult): string[] =>
      levels(judgePreflights([endpoint({ preflight })], "nginx"));
    expect(preflights(endpoint().preflight)).toEqual(["ok"]);
    expect(preflights(answered(405, "", ALLOWS))).toEqual(["fail"]);
    expect(preflights(answered(204, "", { ...ALLOWS, "access-control-allow-methods": "GET" }))).toEqual(["fail"]);
    expect(preflights(answered(204, "", { ...ALLOWS, "access-control-allow-headers": "Content-Type" }))).toEqual([
      "fail",
    ]);
    expect(preflights(unanswered("ECONNRESET"))).toEqual(["fail"]);
    expect(levels(judgePreflights([endpoint({ post: answered(404) })], null))).toEqual(["skip"]);
  });
});

describe("CORS", () => {
  test("[DCT-18] every answer has the header once, and for everybody", () => {
    const judge = (headers: Record<string, string | string[]>): Finding[] => [
      ...judgeCors([{ what: "GET /versions", answer: answerOf(200, {}, headers) }], "apache"),
    ];
    expect(levels(judge({ "access-control-allow-origin": "*" }))).toEqual(["ok"]);
    expect(judge({})[0]?.text).toContain("GET /versions: no Access-Control-Allow-Origin");
    for (const doubled of [["*", "*"], "*, *"]) {
      expect(judge({ "access-control-allow-origin": doubled })[0]).toMatchObject({
        level: "fail",
        advice: [expect.stringContaining("apache: remove")],
      });
    }
    expect(levels(judge({ "access-control-allow-origin": "https://element.example.org" }))).toEqual(["fail"]);
  });
});

describe("path bytes", () => {
  const judge = (
    more: Record<string, OutsideResult>,
    plain = answered(401, { errcode: "M_MISSING_TOKEN" }),
  ): Finding | undefined =>
    judgePathBytes({ answers: new Map(Object.entries({ plain, "%2F": plain, ...more })), mark: "a" }, "nginx")[0];

  test("[DCT-19] whatever the homeserver says, it says to every spelling", () => {
    expect(judge({})?.level).toBe("ok");
    expect(
      judge({ "%2F": answered(404, { errcode: "M_UNRECOGNIZED" }), "%23": unanswered("ECONNRESET") }),
    ).toMatchObject({
      level: "fail",
      text: expect.stringContaining("%2F, %23"),
    });
    expect(judge({}, answered(404, { errcode: "M_UNRECOGNIZED" }))?.level).toBe("skip");
    expect(judge({}, answered(404, "<html>"))?.level).toBe("skip");
  });

  test("[DCT-18] one answer of the homeserver's own is looked at too, where it is heard", () => {
    const heard = (plain: OutsideResult): string[] =>
      homeserversAnswer({ answers: new Map([["plain", plain]]), mark: "a" }).map(({ what }) => what);
    expect(heard(answered(401, { errcode: "M_MISSING_TOKEN" }))).toEqual([
      expect.stringContaining("of the homeserver"),
    ]);
    expect(heard(answered(404, { errcode: "M_UNRECOGNIZED" }, marked("a")))).toEqual([]);
    expect(heard(answered(404, "<html>"))).toEqual([]);
    expect(heard(unanswered("ECONNRESET"))).toEqual([]);
  });

  test("[DCT-20] a homeserver's paths that end at Glissade are a fault of their own", () => {
    const plain = answered(404, { errcode: "M_UNRECOGNIZED" }, marked("a"));
    expect(judge({}, plain)?.advice.join()).toContain("SYNCV3_FORWARD=1");
  });
});

test("[DCT-21] reverse proxies are known by what they write", () => {
  const by = (headers: Record<string, string>, body = "", status = 200) => proxyOf(answerOf(status, body, headers));
  expect(by({ server: "nginx/1.22.1" })).toBe("nginx");
  expect(by({ server: "openresty" })).toBe("nginx");
  expect(by({ server: "Caddy" })).toBe("caddy");
  expect(by({ via: "1.1 Caddy" })).toBe("caddy");
  expect(by({ server: "Apache/2.4.57 (Debian)" })).toBe("apache");
  expect(
    by({}, "<html><body><h1>503 Service Unavailable</h1>\nNo server is available to handle this request.\n", 503),
  ).toBe("haproxy");
  expect(by({}, "404 page not found\n", 404)).toBeNull();
  expect(by({ server: "Synapse/1.163.2" })).toBeNull();
});
