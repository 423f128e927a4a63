import { afterEach, beforeEach, describe, expect, test } from "bun:test";
import { AnnouncedVersions } from "#src/homeserver/announced-versions.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

let asked: (string | null)[];
let answer: (token: string | null) => Response | Promise<Response>;
let server: ReturnType<typeof Bun.serve>;
let time: VirtualTime;
let versions: AnnouncedVersions;

const says = (body: unknown, headers: Record<string, string> = {}): (() => Response) => {
  return () => Response.json(body, { headers });
};
const SPOKEN = {
  versions: ["v1.1", "v1.12"],
  unstable_features: { "org.matrix.msc9999": true, "org.matrix.msc0000": false },
};

beforeEach(() => {
  asked = [];
  answer = says(SPOKEN);
  server = Bun.serve({
    port: 0,
    fetch: (request) => {
      const token = request.headers.get("authorization");
      asked.push(token);
      return answer(token);
    },
  });
  time = new VirtualTime();
  versions = new AnnouncedVersions({
    address: { url: `http://127.0.0.1:${server.port}`, socketPath: null },
    version: "1",
    frontId: "front",
    features: ["org.matrix.msc3575", "org.example.ours"],
    hashToken: (token) => `hash-of-${token}`,
    deadlineMs: 10_000,
    clock: time,
    timers: time,
  });
});
afterEach(() => server.stop(true));

const featuresFor = async (token: string | null = null): Promise<unknown> =>
  (JSON.parse((await versions.versionsFor(token)).body) as { unstable_features: unknown }).unstable_features;

describe("AnnouncedVersions", () => {
  test("[VER-1] the homeserver's answer, with our features among its own", async () => {
    answer = says({ ...SPOKEN, "org.example.more": { deep: [1] } });
    const reply = await versions.versionsFor(null);
    expect(reply.status).toBe(200);
    expect(JSON.parse(reply.body)).toEqual({
      versions: SPOKEN.versions,
      unstable_features: { ...SPOKEN.unstable_features, "org.matrix.msc3575": true, "org.example.ours": true },
      "org.example.more": { deep: [1] },
    });
  });

  test("[VER-1] also where it names no features, and what is no such answer is told as it is", async () => {
    answer = says({ versions: ["r0.6.1"] });
    expect(await featuresFor()).toEqual({ "org.matrix.msc3575": true, "org.example.ours": true });
    for (const body of ["[]", "nonsense", '{"errcode":"M_X"}']) {
      answer = () => new Response(body);
      expect((await versions.versionsFor(null)).body).toBe(body);
    }
  });

  test("[VER-2] is told again for as long as it says, with its age, and what says nothing is asked each time", async () => {
    answer = says(SPOKEN, { "cache-control": "public, max-age=600, s-maxage=3600" });
    await versions.versionsFor(null);
    await time.advance(599_999);
    expect((await versions.versionsFor(null)).headers).toMatchObject({
      age: "599",
      "cache-control": "public, max-age=600, s-maxage=3600",
    });
    expect(asked).toHaveLength(1);
    await time.advance(1);
    answer = says(SPOKEN);
    for (let times = 0; times < 3; times++) await versions.versionsFor(null);
    expect(asked).toHaveLength(4);
  });

  test("[VER-2] no-store and Vary: * are not kept, private is not kept for nobody in particular", async () => {
    for (const headers of [
      { "cache-control": "no-store, max-age=60" },
      { "cache-control": "max-age=60", vary: "*" },
      { "cache-control": "private, max-age=60" },
    ]) {
      answer = says(SPOKEN, headers);
      asked = [];
      await versions.versionsFor(null);
      await versions.versionsFor(null);
      expect(asked).toHaveLength(2);
    }
    await versions.versionsFor("t");
    await versions.versionsFor("t");
    expect(asked).toHaveLength(3);
  });

  test("[VER-3] each token has an answer of its own, and so has nobody", async () => {
    answer = (token) =>
      Response.json(
        { versions: [], unstable_features: { [token ?? "nobody"]: true } },
        { headers: { "cache-control": "private, max-age=600", vary: "Authorization" } },
      );
    const features = await Promise.all([featuresFor("a"), featuresFor("b"), featuresFor(null), featuresFor("a")]);
    expect(features).toMatchObject([
      { "Bearer a": true },
      { "Bearer b": true },
      { nobody: true },
      { "Bearer a": true },
    ]);
    expect(new Set(asked)).toEqual(new Set(["Bearer a", "Bearer b", null]));
    expect(asked).toHaveLength(3);
    expect((await versions.versionsFor("a")).headers["vary"]).toBe("Authorization");
  });

  test("[VER-4] many who ask at once cost one question", async () => {
    const held = Promise.withResolvers<Response>();
    answer = () => held.promise;
    const asking = Array.from({ length: 20 }, () => versions.versionsFor(null));
    held.resolve(Response.json(SPOKEN));
    for (const reply of await Promise.all(asking)) expect(reply.status).toBe(200);
    expect(asked).toHaveLength(1);
  });

  test("[VER-5] an error is passed on as it is, and not kept", async () => {
    answer = () =>
      Response.json(
        { errcode: "M_UNKNOWN_TOKEN", soft_logout: true },
        { status: 401, headers: { "cache-control": "max-age=60" } },
      );
    for (const times of [1, 2]) {
      expect(await versions.versionsFor("dead")).toMatchObject({
        status: 401,
        body: '{"errcode":"M_UNKNOWN_TOKEN","soft_logout":true}',
      });
      expect(asked).toHaveLength(times);
    }
  });

  test("[VER-6] while the homeserver is away an old answer is told, unless it forbids that", async () => {
    answer = says(SPOKEN, { "cache-control": "max-age=1" });
    await versions.versionsFor(null);
    answer = () => new Response("down", { status: 502 });
    await time.advance(60_000);
    expect(await featuresFor()).toMatchObject({ "org.matrix.msc3575": true });
    expect(await featuresFor()).toMatchObject({ "org.matrix.msc3575": true });
    // A homeserver that is away is not asked by everybody.
    expect(asked).toHaveLength(2);
    await time.advance(5000);
    answer = says(SPOKEN, { "cache-control": "max-age=1, must-revalidate" });
    await versions.versionsFor(null);
    await server.stop(true);
    await time.advance(60_000);
    const failure = await versions.versionsFor(null).catch((error: unknown) => error);
    expect(failure).toMatchObject({ code: "homeserver_unreachable" });
  });
});
