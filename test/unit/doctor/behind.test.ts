import { describe, expect, test } from "bun:test";
import { judgeAccount } from "#src/doctor/checks/account.ts";
import type { AccountSeen } from "#src/doctor/checks/account.ts";
import { judgeArrival } from "#src/doctor/checks/arrival.ts";
import { judgeClock } from "#src/doctor/checks/clock.ts";
import { judgeDatabase } from "#src/doctor/checks/database.ts";
import { judgeHomeserver } from "#src/doctor/checks/homeserver.ts";
import type { HomeserverSeen } from "#src/doctor/checks/homeserver.ts";
import { judgeUploadSize, observeUploadSize } from "#src/doctor/checks/upload-size.ts";
import { judgeLongPoll, judgeStreaming, observeStreaming } from "#src/doctor/checks/waiting.ts";
import type { Finding } from "#src/doctor/finding.ts";
import type { Origin, OutsideResult } from "#src/doctor/outside.ts";
import type { DatabaseFacts } from "#src/ports/doctor.ts";
import { FakeOutside, answerOf, answered, unanswered } from "#test/support/outside.ts";

const NOW = 1_800_000_000_000;
const ORIGIN: Origin = { scheme: "https", host: "m.example.org", port: 443 };
const levels = (findings: readonly Finding[]): string[] => findings.map(({ level }) => level);

describe("what arrives", () => {
  const ECHO = {
    probe: "echo",
    target: "/sync?a=%2F",
    host: "m.example.org",
    forwarded_proto: "https",
    forwarded_for: 1,
    has_authorization: true,
    body_bytes: 900_000,
    is_forwarding: true,
    now_ms: NOW,
  };
  const judge = (more: object, proxy: "nginx" | null = "nginx"): readonly Finding[] =>
    judgeArrival({ origin: ORIGIN, sent: "/sync?a=%2F", echo: answered(200, { ...ECHO, ...more }) }, proxy);

  test("[DCT-30] everything as it was sent is good", () => {
    expect(levels(judge({}))).toEqual(["ok", "ok"]);
    expect(levels(judge({ host: "M.example.org:443", forwarded_proto: null, forwarded_for: 0 }, null))).toEqual([
      "ok",
      "ok",
    ]);
  });

  test("[DCT-31] query, Host, Authorization and forwarded headers are told of one by one", () => {
    expect(judge({ target: "/sync?a=/" })[0]).toMatchObject({ level: "fail", text: expect.stringContaining("query") });
    expect(judge({ host: "127.0.0.1:8009" })[0]?.advice).toEqual(["nginx: proxy_set_header Host $http_host;"]);
    expect(judge({ has_authorization: false })[0]).toMatchObject({
      level: "fail",
      text: expect.stringContaining("Authorization"),
    });
    expect(judge({ forwarded_proto: "http" })[0]).toMatchObject({ level: "warn" });
    expect(judge({ forwarded_for: 0 })[0]).toMatchObject({
      level: "warn",
      text: expect.stringContaining("X-Forwarded-For"),
    });
    expect(levels(judge({ forwarded_for: 0, is_forwarding: false }))).toEqual(["ok", "ok"]);
  });

  test("[DCT-32] a large request that is refused or cut off is told of by its size", () => {
    for (const echo of [answered(413, "<html>"), answered(500, ""), unanswered("ECONNRESET")]) {
      const [arrival, size] = judgeArrival({ origin: ORIGIN, sent: "", echo }, "caddy");
      expect([arrival?.level, size?.level]).toEqual(["skip", "fail"]);
      expect(size?.advice.join()).toContain("max_size");
    }
  });

  test("[DCT-33] an upload that a proxy refuses is told apart from one that the homeserver refuses", async () => {
    const judge = (result: OutsideResult): readonly Finding[] =>
      judgeUploadSize({ bytes: 50 * 1024 * 1024, isTold: false, result }, "nginx");
    expect(levels(judge(unanswered("no answer in time")))).toEqual(["ok"]);
    expect(levels(judge(answered(401, {})))).toEqual(["ok"]);
    expect(levels(judge(answered(413, { errcode: "M_TOO_LARGE" })))).toEqual(["ok"]);
    expect(judge(answered(413, "<html>"))[0]).toMatchObject({
      level: "warn",
      text: expect.stringContaining("50 MiB"),
      advice: [expect.stringContaining("client_max_body_size")],
    });
    const outside = new FakeOutside(({ method }) =>
      method === "GET" ? answered(200, { "m.upload.size": 104_857_600 }) : answered(413, "<html>"),
    );
    const patient = { origin: ORIGIN, prefix: "", isBelieved: true, outside, newMark: () => "a", proxy: null };
    const seen = await observeUploadSize(patient, "token");
    expect(judgeUploadSize(seen, null)[0]?.text).toContain("100 MiB, which is what the homeserver takes");
    const plain = { ...patient, origin: { ...ORIGIN, scheme: "http" } } as const;
    expect((await observeUploadSize(plain, "token")).bytes).toBe(50 * 1024 * 1024);
    expect(outside.asked.filter(({ headers }) => headers?.["authorization"] !== undefined)).toMatchObject([
      { method: "GET", isSecret: true },
    ]);
  });
});

describe("what waits", () => {
  test("[DCT-34] a long poll that is cut keeps clients out, or only first syncs", () => {
    const cut = (seconds: number): Finding | undefined =>
      judgeLongPoll(unanswered("the connection was closed", seconds * 1000), "haproxy")[0];
    expect(levels(judgeLongPoll(answered(200, { probe: "hold" }), null))).toEqual(["ok"]);
    expect(cut(30)).toMatchObject({ level: "fail", advice: ["haproxy: timeout server 30m in the backend glissade"] });
    expect(cut(60)?.level).toBe("warn");
    const late: OutsideResult = { ok: true, answer: { ...answerOf(504), tookMs: 30_050 } };
    expect(judgeLongPoll(late, null)[0]?.text).toContain("answered 504 after 30 s");
    expect(levels(judgeLongPoll(answered(429), null))).toEqual(["skip"]);
  });

  test("[DCT-35] pieces that come all at once were held back", () => {
    const trickle = (pieces: number[]): string[] =>
      levels(judgeStreaming({ ok: true, answer: { ...answerOf(200, "drop\ndrop\n"), pieces } }, null));
    expect(trickle([10, 410, 810, 1210, 1610])).toEqual(["ok"]);
    expect(trickle([1610])).toEqual(["warn"]);
    expect(trickle([1600, 1610])).toEqual(["warn"]);
    expect(levels(judgeStreaming(answered(429), null))).toEqual(["skip"]);
    expect(levels(judgeStreaming(unanswered("ECONNRESET"), null))).toEqual(["skip"]);
  });

  test("[DCT-84] an answer that seems held back is listened to once more", async () => {
    const listen = async (...heard: number[][]): Promise<[string[], number]> => {
      const outside = new FakeOutside(() => ({
        ok: true,
        answer: { ...answerOf(200, "drop\ndrop\n"), pieces: heard[outside.asked.length - 1] ?? [] },
      }));
      const seen = await observeStreaming({
        origin: ORIGIN,
        prefix: "",
        isBelieved: true,
        outside,
        newMark: () => "mark1234",
        proxy: null,
      });
      return [levels(judgeStreaming(seen, null)), outside.asked.length];
    };
    const steady = [10, 410, 810, 1210, 1610];
    expect(await listen(steady)).toEqual([["ok"], 1]);
    expect(await listen([1600, 1610], steady)).toEqual([["ok"], 2]);
    expect(await listen([1610], [1610], steady)).toEqual([["warn"], 2]);
  });

  test("[DCT-36] clocks are compared, that of Glissade and that of the proxy", () => {
    const judge = (glissadeMs: number, proxyMs: number): Finding | undefined =>
      judgeClock({
        echo: answerOf(200, { now_ms: glissadeMs }, { date: new Date(proxyMs).toUTCString() }),
        nowMs: NOW,
      })[0];
    expect(judge(NOW + 5000, NOW - 5000)?.level).toBe("ok");
    expect(judge(NOW + 90_000, NOW)?.text).toContain("that of Glissade is 90 s ahead");
    expect(judge(NOW, NOW - 3_600_000)?.text).toContain("that of the reverse proxy is 3600 s behind");
    expect(levels(judgeClock({ echo: null, nowMs: NOW }))).toEqual(["skip"]);
  });
});

describe("the homeserver", () => {
  const seen = (more: Partial<HomeserverSeen> = {}): HomeserverSeen => ({
    isDirect: true,
    versions: answered(200, { versions: ["r0.6.1", "v1.1", "v1.11"], unstable_features: {} }),
    software: answered(200, { server: { name: "Synapse", version: "1.163.2 (b=develop,abc)" } }),
    sync: { mark: "a", result: answered(404, { errcode: "M_UNRECOGNIZED" }) },
    ...more,
  });

  test("[DCT-40] it is told by name and what it speaks", () => {
    expect(judgeHomeserver(seen())).toEqual([
      { check: "homeserver", level: "ok", text: "Synapse 1.163.2, Matrix up to v1.11", advice: [] },
    ]);
    const old = judgeHomeserver(seen({ software: answered(404), versions: answered(200, { versions: ["r0.5.0"] }) }));
    expect(old[0]?.text).toContain("does not tell its name, older than Matrix 1.1");
    const native = { versions: ["v1.11"], unstable_features: { "org.matrix.simplified_msc3575": true } };
    expect(judgeHomeserver(seen({ versions: answered(200, native) }))[0]?.text).toContain("sliding sync of its own");
  });

  test("[DCT-41] one that is down, none, or Glissade itself is a fault", () => {
    expect(judgeHomeserver(seen({ versions: unanswered("ECONNREFUSED") }))[0]?.advice.join()).toContain(
      "SYNCV3_SERVER",
    );
    expect(judgeHomeserver(seen({ versions: unanswered("x"), isDirect: false }))[0]?.level).toBe("skip");
    expect(levels(judgeHomeserver(seen({ versions: answered(502) })))).toEqual(["fail"]);
    expect(levels(judgeHomeserver(seen({ versions: answered(200, "<html>") })))).toEqual(["fail"]);
    const loop = { mark: "a", result: answered(401, {}, { "x-glissade-probe": "a" }) };
    expect(judgeHomeserver(seen({ sync: loop }))[0]?.text).toBe("SYNCV3_SERVER leads back to Glissade");
  });
});

describe("the account", () => {
  const whoami = answered(200, { user_id: "@doctor:example.org" });
  const judge = (more: Partial<AccountSeen>): readonly Finding[] =>
    judgeAccount({ whoami, syncs: [{ path: "/sync", result: answered(200, { pos: "1" }) }], classic: null, ...more });

  test("[DCT-42] an account that syncs is good, and says whether state comes after the timeline", () => {
    expect(judge({})[0]?.text).toBe("@doctor:example.org syncs in every dialect");
    expect(judge({ whoami: answered(404, {}) })[0]?.level).toBe("ok");
    expect(judge({ classic: answered(200, '{"org.matrix.msc4222.state_after":{}}') })[1]?.text).toContain(
      "tells the state",
    );
    expect(judge({ classic: answered(200, "{}") })[1]?.advice.join()).toContain("msc4222_enabled");
  });

  test("[DCT-43] a token that is not taken, or not here, is told of", () => {
    expect(levels(judge({ whoami: answered(401, {}), syncs: [] }))).toEqual(["fail"]);
    expect(levels(judge({ whoami: unanswered("CERT_HAS_EXPIRED"), syncs: [] }))).toEqual(["skip"]);
    expect(levels(judgeAccount(null))).toEqual(["skip"]);
    const foreign = [{ path: "/sync", result: answered(401, { errcode: "M_UNKNOWN_TOKEN" }) }];
    expect(judge({ syncs: foreign })[0]?.advice.join()).toContain("another homeserver");
    expect(levels(judge({ syncs: [{ path: "/sync", result: unanswered("no answer in time") }] }))).toEqual(["fail"]);
  });
});

describe("the database", () => {
  const FACTS: DatabaseFacts = {
    version: "15.8",
    versionNumber: 150_008,
    encoding: "UTF8",
    collation: "C",
    isCollationOutdated: false,
    settings: {
      fsync: "on",
      synchronous_commit: "on",
      full_page_writes: "on",
      max_connections: "100",
      superuser_reserved_connections: "3",
    },
    otherConnections: 10,
    sizeBytes: 50 * 1024 * 1024,
    dataDirectory: null,
  };
  const judge = (
    more: Partial<DatabaseFacts>,
    wantedConnections = 20,
    freeBytes: number | null = null,
  ): readonly Finding[] =>
    judgeDatabase({ kind: "postgres", facts: { ...FACTS, ...more }, wantedConnections, freeBytes });

  test("[DCT-50] a PostgreSQL that keeps what it is given is good", () => {
    expect(judge({})[0]).toMatchObject({ level: "ok", text: "PostgreSQL 15.8, UTF8, 50 MiB, free space unknown" });
  });

  test("[DCT-51] age, encoding and a collation that changed are told of", () => {
    expect(judge({ version: "12.2", versionNumber: 120_002 })[0]).toMatchObject({
      level: "fail",
      text: expect.stringContaining("too old"),
    });
    expect(judge({ encoding: "SQL_ASCII" })[0]).toMatchObject({
      level: "fail",
      text: expect.stringContaining("SQL_ASCII"),
    });
    expect(judge({ isCollationOutdated: true })[0]).toMatchObject({
      level: "warn",
      advice: [expect.stringContaining("reindexdb")],
    });
  });

  test("[DCT-52] settings that lose what was acknowledged are told of", () => {
    const off = (name: string): Finding | undefined => judge({ settings: { ...FACTS.settings, [name]: "off" } })[0];
    expect(off("fsync")?.level).toBe("fail");
    expect(off("synchronous_commit")).toMatchObject({
      level: "fail",
      text: expect.stringContaining("keys among them"),
    });
    expect(off("full_page_writes")?.level).toBe("warn");
  });

  test("[DCT-53] too few connections and too little room are told of", () => {
    expect(judge({}, 88)[0]).toMatchObject({ level: "warn", advice: [expect.stringContaining("SYNCV3_MAX_DB_CONN")] });
    expect(judge({}, 87)[0]?.level).toBe("ok");
    expect(judge({ settings: {} }, 1000)[0]?.level).toBe("ok");
    expect(judge({}, 20, 1024 ** 3)[0]?.level).toBe("warn");
    expect(judge({}, 20, 1024 ** 2)[0]?.level).toBe("fail");
  });

  test("[DCT-54] an embedded one has room and a secret of its own, and one that is away is told of", () => {
    const embedded = { kind: "embedded", dataDir: "/data", freeBytes: 20 * 1024 ** 3, secretMode: 0o600 } as const;
    expect(judgeDatabase(embedded)[0]).toMatchObject({ level: "ok", text: "embedded, in /data, 20.0 GiB free" });
    expect(judgeDatabase({ ...embedded, secretMode: 0o644 })[0]?.advice.join()).toContain("chmod 600");
    expect(judgeDatabase({ kind: "away", reason: "refused" })[0]?.level).toBe("fail");
  });
});
