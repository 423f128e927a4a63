import { describe, expect, test } from "bun:test";
import { examine } from "#src/doctor/examine.ts";
import { judgeTls } from "#src/doctor/checks/tls.ts";
import { baseUrlOf, judgeWellKnown, observeWellKnown } from "#src/doctor/checks/well-known.ts";
import type { Finding } from "#src/doctor/finding.ts";
import { readOrigin } from "#src/doctor/outside.ts";
import type { Origin, OutsideResult } from "#src/doctor/outside.ts";
import { maySendToken } from "#src/doctor/patient.ts";
import { FakeOutside, answered, handshakeOf, unanswered } from "#test/support/outside.ts";

const NOW = 1_800_000_000_000;
const ORIGIN: Origin = { scheme: "https", host: "example.org", port: 443 };
const GOOD = { "content-type": "application/json", "access-control-allow-origin": "*" };
const levels = (findings: readonly Finding[]): string[] => findings.map(({ level }) => level);
const file = (base: string, more: object = {}): object => ({ "m.homeserver": { base_url: base }, ...more });
const wellKnown = (result: OutsideResult, isOptional = false): readonly Finding[] =>
  judgeWellKnown({ origin: ORIGIN, isOptional, result });

describe("the well-known file", () => {
  test("[DCT-1] one that says where the homeserver is, readable for everybody, is good", () => {
    expect(levels(wellKnown(answered(200, file("https://matrix.example.org"), GOOD)))).toEqual(["ok"]);
  });

  test("[DCT-2] a base_url without https, or none, is told with what to write", () => {
    for (const [base, words] of [
      ["matrix.example.org", "no https://"],
      ["http://matrix.example.org", "http://"],
    ] as const) {
      const [first, ...rest] = wellKnown(answered(200, file(base), GOOD));
      expect(first).toMatchObject({ level: "fail", text: expect.stringContaining(words) });
      expect(first?.advice.join()).toContain('"base_url": "https://');
      expect(rest).toEqual([]);
    }
    expect(levels(wellKnown(answered(200, {}, GOOD)))).toEqual(["fail"]);
    expect(levels(wellKnown(answered(200, file("https://"), GOOD)))).toEqual(["fail"]);
  });

  test("[DCT-3] what is not JSON, not readable by browsers, or doubled keeps clients out", () => {
    const page = "<html>a web site</html>";
    expect(levels(wellKnown(answered(200, page, { ...GOOD, "content-type": "text/html" })))).toEqual(["fail"]);
    expect(
      levels(wellKnown(answered(200, file("https://m.example.org"), { "content-type": "application/json" }))),
    ).toEqual(["fail"]);
    const twice = { ...GOOD, "access-control-allow-origin": ["*", "*"] };
    expect(levels(wellKnown(answered(200, file("https://m.example.org"), twice)))).toEqual(["fail"]);
    const untyped = { ...GOOD, "content-type": "application/octet-stream" };
    expect(levels(wellKnown(answered(200, file("https://m.example.org"), untyped)))).toEqual(["warn"]);
  });

  test("[DCT-4] none is no fault where the address was given, and worth a word where a name was", () => {
    expect(levels(wellKnown(answered(404), true))).toEqual(["ok"]);
    expect(levels(wellKnown(answered(404)))).toEqual(["warn"]);
    expect(levels(wellKnown(answered(500)))).toEqual(["fail"]);
    expect(levels(wellKnown(unanswered("ECONNREFUSED"), true))).toEqual(["skip"]);
    expect(levels(wellKnown(unanswered("ECONNREFUSED")))).toEqual(["fail"]);
  });

  test("[DCT-5] the key of the Go proxy is told of when it leads astray", () => {
    const judged = (proxy: unknown): readonly Finding[] =>
      wellKnown(answered(200, file("https://m.example.org", { "org.matrix.msc3575.proxy": proxy }), GOOD));
    expect(levels(judged({ url: "https://m.example.org" }))).toEqual(["ok"]);
    for (const proxy of [
      { url: "sync.example.org" },
      { url: "https://m.example.org/sync" },
      { url: "https://sync.example.org" },
      {},
    ]) {
      const [only] = judged(proxy);
      expect(only).toMatchObject({ level: "warn", text: expect.stringContaining("org.matrix.msc3575.proxy") });
      expect(only?.advice).toHaveLength(1);
    }
  });

  test("[DCT-6] redirections are followed, and the base URL may have a path", async () => {
    const outside = new FakeOutside(({ path }) =>
      path === "/elsewhere"
        ? answered(200, file("https://m.example.org/matrix/"), GOOD)
        : answered(302, "", { location: "/elsewhere" }),
    );
    const seen = await observeWellKnown(outside, ORIGIN, false);
    expect(baseUrlOf(seen)).toEqual({ origin: readOrigin("https://m.example.org") as Origin, prefix: "/matrix" });
    // One that leads nowhere is no place to go on from.
    const nowhere = await observeWellKnown(
      new FakeOutside(() => answered(302, "", { location: "https://[" })),
      ORIGIN,
      false,
    );
    expect(levels(judgeWellKnown(nowhere))).toEqual(["fail"]);
    const endless = await observeWellKnown(new FakeOutside(() => answered(302, "", { location: "/" })), ORIGIN, false);
    expect(levels(judgeWellKnown(endless))).toEqual(["fail"]);
  });
});

describe("where a token goes", () => {
  const TOKEN = "syt_of_the_operator";

  /** Which hosts a doctor sent its token to, when the way from the name to the file was like this. */
  async function tokenWentTo(file: (isVouched: boolean, origin: Origin) => OutsideResult): Promise<string[]> {
    const went = new Set<string>();
    const outside = new FakeOutside((request, { host, scheme }) => {
      if (request.headers?.["authorization"]?.includes(TOKEN) === true) went.add(`${scheme} ${host}`);
      if (request.path === "/.well-known/matrix/client")
        return file(request.isSecret === true, { scheme, host, port: 0 });
      const mark = request.headers?.["x-glissade-probe"]?.split(" ")[0] ?? "";
      return answered(401, { errcode: "M_MISSING_TOKEN" }, { "x-glissade-probe": mark });
    });
    const options = { outside, newMark: () => "abcdefgh", proxy: null, isQuick: true, inside: null };
    await examine({ kind: "name", origin: ORIGIN }, { ...options, token: TOKEN });
    return [...went];
  }

  test("[DCT-82] a well-known file leads a token only where its whole way is vouched for", async () => {
    const leads = (to: string) => answered(200, file(to), GOOD);
    expect(await tokenWentTo(() => leads("https://m.example.org"))).toEqual(["https m.example.org"]);
    // Somebody on the way has a certificate for his own name, and none for the one that was asked for.
    expect(await tokenWentTo((isVouched) => (isVouched ? unanswered("CERT") : leads("https://thief.example")))).toEqual(
      [],
    );
    // He lets the question that minds certificates through.
    expect(
      await tokenWentTo((isVouched) => leads(isVouched ? "https://m.example.org" : "https://thief.example")),
    ).toEqual([]);
    // A redirection leaves TLS, where anybody writes what he likes.
    expect(
      await tokenWentTo((_, { scheme }) =>
        scheme === "http"
          ? leads("https://thief.example")
          : answered(302, "", { location: "http://example.org/.well-known/matrix/client" }),
      ),
    ).toEqual([]);
    // Without a file it is the name itself that has to prove who it is.
    expect(await tokenWentTo(() => answered(404))).toEqual(["https example.org"]);
  });

  test("[DCT-83] without TLS a token goes to this machine alone, and not to names that begin like it", async () => {
    const isGood = (url: string): boolean => {
      const patient = { prefix: "", isBelieved: true, outside: new FakeOutside(() => answered(404)), proxy: null };
      return maySendToken({ ...patient, origin: readOrigin(url) as Origin, newMark: () => "" });
    };
    expect(
      ["http://localhost:8008", "http://127.0.0.1", "http://127.1.2.3:80", "http://[::1]:8008"].map(isGood),
    ).toEqual([true, true, true, true]);
    expect(
      ["http://localhost.example.org", "http://127.example.org", "http://localhosts", "http://192.0.2.1"].map(isGood),
    ).toEqual([false, false, false, false]);
  });
});

describe("TLS", () => {
  const refused = { ok: false, reason: "ERR_SSL_TLSV1_ALERT_PROTOCOL_VERSION" } as const;
  const judge = (seen: Partial<Parameters<typeof judgeTls>[0]>): readonly Finding[] =>
    judgeTls(
      {
        host: "m.example.org",
        old: handshakeOf("TLSv1.2", NOW),
        current: handshakeOf("TLSv1.3", NOW),
        nowMs: NOW,
        ...seen,
      },
      "nginx",
    );

  test("[DCT-7] both versions, a good certificate and HTTP/2 are good", () => {
    expect(levels(judge({}))).toEqual(["ok", "ok"]);
  });

  test("[DCT-8] TLS 1.2 is needed, 1.3 and HTTP/2 are wished for", () => {
    expect(judge({ old: refused })[0]).toMatchObject({
      level: "fail",
      advice: ["nginx: ssl_protocols TLSv1.2 TLSv1.3;"],
    });
    expect(levels(judge({ current: refused }))).toEqual(["warn", "ok"]);
    expect(levels(judge({ old: refused, current: refused }))).toEqual(["fail"]);
    expect(
      levels(judge({ old: { ok: false, reason: "ECONNREFUSED" }, current: { ok: false, reason: "ECONNREFUSED" } })),
    ).toEqual(["skip"]);
    const plain = handshakeOf("TLSv1.3", NOW, { alpn: null });
    expect(judge({ current: plain })[1]).toMatchObject({ check: "http2", level: "warn" });
  });

  test("[DCT-9] a certificate that ended, ends soon, is another's or is not believed is told apart", () => {
    const with_ = (more: Parameters<typeof handshakeOf>[2]): Finding | undefined =>
      judge({ current: handshakeOf("TLSv1.3", NOW, more) })[0];
    expect(with_({ days: -1, trustProblem: "CERT_HAS_EXPIRED" })).toMatchObject({
      level: "fail",
      text: expect.stringContaining("ended on"),
    });
    expect(with_({ days: 5 })).toMatchObject({ level: "warn", text: expect.stringContaining("ends on") });
    expect(with_({ nameProblem: "altnames" })).toMatchObject({
      level: "fail",
      text: expect.stringContaining("not for m.example.org"),
    });
    expect(with_({ trustProblem: "UNABLE_TO_VERIFY_LEAF_SIGNATURE" })?.advice.join()).toContain("fullchain.pem");
    expect(with_({ trustProblem: "DEPTH_ZERO_SELF_SIGNED_CERT" })?.text).toContain("signed by itself");
    expect(with_({ trustProblem: "CERT_REVOKED" })?.text).toContain("CERT_REVOKED");
  });
});
