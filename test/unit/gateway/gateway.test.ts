import { beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { SyncError } from "#src/errors.ts";
import type { ErrorCode } from "#src/errors.ts";
import type { Identity, SyncAnswer } from "#src/ports/gateway.ts";
import type { Homeserver, UpstreamFailure, UpstreamResult } from "#src/ports/homeserver.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { connectionAddress } from "#actors/addresses.ts";
import { createGateway } from "#actors/gateway/gateway.ts";
import type { Gateway } from "#actors/gateway/gateway.ts";
import type { Address, AskOptions } from "#actors/runtime/actor.ts";
import { recordingLogger, RecordingMetrics } from "#test/support/recording.ts";
import { settlePromises, VirtualTime } from "#test/support/virtual-time.ts";

const ALICE = "@alice:hs" as UserId;
const DEVICE = "DEV" as DeviceId;
const hashToken = (token: string): string => createHash("sha256").update(token).digest("hex");

type WhoAmI = Awaited<ReturnType<Homeserver["whoami"]>>;

const accepted = (deviceId: string | null = "DEV"): WhoAmI => ({
  ok: true,
  value: { userId: ALICE, deviceId: deviceId as DeviceId | null, isGuest: false },
});
const failed = (failure: UpstreamFailure): UpstreamResult<never> => ({ ok: false, failure });
const refusal = (softLogout = false): WhoAmI => failed({ kind: "auth", softLogout, status: 401, body: "{}" });

/** Tokens as they are stored; `down` = the database is away. */
class FakeTokens {
  readonly rows = new Map<string, { userId: UserId; deviceId: DeviceId; lastSeenMs: number }>();
  readonly touched: number[] = [];
  finds = 0;
  isDown = false;

  async findToken(hash: string) {
    this.finds++;
    if (this.isDown) throw new SyncError("storage_unavailable", "no connection");
    const row = this.rows.get(hash);
    const newest = [...this.rows.values()].findLast(({ deviceId }) => deviceId === row?.deviceId);
    return row === undefined ? null : { ...row, isNewest: row === newest };
  }

  async removeToken(hash: string) {
    this.rows.delete(hash);
  }

  async saveToken(token: { hash: string; userId: UserId; deviceId: DeviceId; nowMs: number }) {
    if (this.isDown) throw new SyncError("storage_unavailable", "no connection");
    this.rows.set(token.hash, { userId: token.userId, deviceId: token.deviceId, lastSeenMs: token.nowMs });
  }

  async touchToken(_hash: string, nowMs: number) {
    this.touched.push(nowMs);
  }
}

interface Asked {
  to: Address;
  message: { type: string; pos: string | null; timeoutMs: number; requestId: number };
  options: AskOptions;
  resolve: (answer: SyncAnswer) => void;
  reject: (error: Error) => void;
}

const ANSWER: SyncAnswer = { body: new Uint8Array([123, 125]), posOut: "p1", rooms: 0, ops: 0, waitedMs: 0 };

let time: VirtualTime;
let tokens: FakeTokens;
let whoami: { calls: string[]; answer: () => Promise<WhoAmI> };
let asked: Asked[];
let told: { to: Address; message: { type: string; requestId?: number } }[];
let isHostUp: () => Promise<boolean>;
let metrics: RecordingMetrics;
let log: ReturnType<typeof recordingLogger>;
let gateway: Gateway;

beforeEach(() => {
  time = new VirtualTime();
  tokens = new FakeTokens();
  whoami = { calls: [], answer: async () => accepted() };
  asked = [];
  told = [];
  isHostUp = async () => true;
  metrics = new RecordingMetrics();
  log = recordingLogger();
  gateway = createGateway({
    devices: tokens,
    homeserver: {
      whoami: (token) => {
        whoami.calls.push(token);
        return whoami.answer();
      },
    },
    hashToken,
    clock: time,
    timers: time,
    log,
    metrics,
    actors: {
      tell: (to, message) => void told.push({ to, message }),
      ask: <T>(to: Address, message: { type: string }, options: AskOptions) =>
        new Promise<T>((resolve, reject) => {
          asked.push({
            to,
            message: message as Asked["message"],
            options,
            resolve: resolve as unknown as Asked["resolve"],
            reject,
          });
        }),
    },
    whenHostUp: () => isHostUp(),
    initialTimeoutMs: 1_800_000,
  });
});

async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | "no error"> {
  try {
    await promise;
    return "no error";
  } catch (error) {
    return error instanceof SyncError ? error.code : "internal";
  }
}

const toldTypes = (kind: Address["kind"]): string[] =>
  told.filter(({ to }) => to.kind === kind).map(({ message }) => message.type);

describe("identify", () => {
  test("[GW-1] a token that is new to us is proven by the homeserver, stored, and told to its poller", async () => {
    expect(await gateway.identify("tok")).toEqual({ userId: ALICE, deviceId: DEVICE, tokenHash: hashToken("tok") });
    expect(tokens.rows.get(hashToken("tok"))).toMatchObject({ userId: ALICE, deviceId: DEVICE });
    expect(toldTypes("poller")).toEqual(["token-changed", "touch"]);
  });

  test("[GW-2] a stored token costs no upstream call, a remembered one no storage either", async () => {
    tokens.rows.set(hashToken("tok"), { userId: ALICE, deviceId: DEVICE, lastSeenMs: time.now() });
    await gateway.identify("tok");
    await gateway.identify("tok");
    expect([whoami.calls.length, tokens.finds]).toEqual([0, 1]);
    expect(toldTypes("poller")).toEqual(["touch"]);
  });

  test("[GW-3] lookups of one token at the same time share one", async () => {
    const answer = Promise.withResolvers<WhoAmI>();
    whoami.answer = () => answer.promise;
    const both = Promise.all([gateway.identify("tok"), gateway.identify("tok"), gateway.identify("tok")]);
    await settlePromises();
    answer.resolve(accepted());
    await both;
    expect(whoami.calls).toEqual(["tok"]);
  });

  test("[GW-4] a refusal is remembered for a second, and no longer", async () => {
    whoami.answer = async () => refusal();
    expect(await codeOf(gateway.identify("bad"))).toBe("unknown_token");
    await time.advance(900);
    expect(await codeOf(gateway.identify("bad"))).toBe("unknown_token");
    expect(whoami.calls.length).toBe(1);
    await time.advance(200);
    whoami.answer = async () => accepted();
    expect(await codeOf(gateway.identify("bad"))).toBe("no error");
    expect(whoami.calls.length).toBe(2);
    expect(metrics.of("sliding_sync_token_lookups_total", { source: "refused" })).toBe(1);
  });

  test("[GW-5] a soft logout stays one", async () => {
    whoami.answer = async () => refusal(true);
    expect(await codeOf(gateway.identify("bad"))).toBe("soft_logout");
    expect(await codeOf(gateway.identify("bad"))).toBe("soft_logout");
    expect(whoami.calls.length).toBe(1);
  });

  test.each([
    [{ kind: "transient", status: 503, retryAfterMs: 0, reason: "HTTP 503" }, "/whoami returned HTTP 503"],
    [{ kind: "refused", status: 403, errcode: "M_FORBIDDEN", reason: "no" }, "/whoami returned HTTP 403"],
    [
      { kind: "transient", status: 0, retryAfterMs: 0, reason: "connect ECONNREFUSED 10.0.0.3" },
      "the homeserver cannot be reached",
    ],
  ] as [UpstreamFailure, string][])(
    "[GW-6] %p is the homeserver's trouble, and not remembered",
    async (failure, text) => {
      whoami.answer = async () => failed(failure);
      const error = await gateway.identify("tok").catch((caught: unknown) => caught);
      expect(error).toMatchObject({ code: "homeserver_unreachable", message: text });
      whoami.answer = async () => accepted();
      expect(await codeOf(gateway.identify("tok"))).toBe("no error");
      expect(log.lines.map(({ level }) => level)).toEqual(["warn"]);
    },
  );

  test("[GW-7] a token without a device gets the empty one", async () => {
    whoami.answer = async () => accepted(null);
    expect((await gateway.identify("tok")).deviceId).toBe("" as DeviceId);
  });

  test("[GW-8] a rotated token is stored and told to the poller of the same device", async () => {
    await gateway.identify("old");
    told.length = 0;
    expect(await gateway.identify("new")).toMatchObject({ deviceId: DEVICE, tokenHash: hashToken("new") });
    expect(toldTypes("poller")).toContain("token-changed");
    expect(tokens.rows.size).toBe(2);
  });

  test("[GW-9] last use is stored every half hour, and told to the poller every minute", async () => {
    await gateway.identify("tok");
    for (let minute = 0; minute < 61; minute++) {
      await time.advance(60_000);
      await gateway.identify("tok");
      await gateway.identify("tok");
    }
    expect(tokens.touched.length).toBe(2);
    expect(toldTypes("poller").filter((type) => type === "touch").length).toBe(62);
  });

  test("[GW-10] a database that is away is waited for, up to ten seconds", async () => {
    tokens.isDown = true;
    const back = gateway.identify("tok");
    await time.advance(5_000);
    tokens.isDown = false;
    await time.advance(1_000);
    expect(await codeOf(back)).toBe("no error");

    tokens.isDown = true;
    const away = codeOf(gateway.identify("other"));
    await time.advance(11_000);
    expect(await away).toBe("storage_unavailable");
    expect(time.pendingCount).toBe(0);
  });

  test("[GW-11] an expired token is proven anew, also when it expires while it is looked up", async () => {
    await gateway.identify("tok");
    const expire = (): void =>
      gateway.kind.factory({} as never).receive({
        type: "token-expired",
        tokenHash: hashToken("tok"),
        userId: ALICE,
        deviceId: DEVICE,
      });
    tokens.rows.clear();
    expire();
    const answer = Promise.withResolvers<WhoAmI>();
    whoami.answer = () => answer.promise;
    const looking = gateway.identify("tok");
    await settlePromises();
    expire();
    answer.resolve(accepted());
    await looking;
    tokens.rows.clear();
    whoami.answer = async () => refusal();
    expect(await codeOf(gateway.identify("tok"))).toBe("unknown_token");
    expect(whoami.calls.length).toBe(3);
  });

  test("[GW-45] of an expired token storage is not believed, which may still hold it", async () => {
    await gateway.identify("tok");
    gateway.kind.factory({} as never).receive({
      type: "token-expired",
      tokenHash: hashToken("tok"),
      userId: ALICE,
      deviceId: DEVICE,
    });
    expect(tokens.rows.size).toBe(1);
    whoami.answer = async () => refusal();
    expect(await codeOf(gateway.identify("tok"))).toBe("unknown_token");
    whoami.answer = async () => accepted();
    await time.advance(2000);
    await gateway.identify("tok");
    expect(whoami.calls.length).toBe(3);
  });

  test("[GW-12] a flood of made-up tokens is limited, known ones still pass", async () => {
    await gateway.identify("known");
    whoami.answer = () => new Promise(() => {});
    for (let index = 0; index < 256; index++) void gateway.identify(`made-up ${index}`);
    expect(await codeOf(gateway.identify("one more"))).toBe("limit_exceeded");
    expect(await codeOf(gateway.identify("known"))).toBe("no error");
  });

  test("[GW-13] proven tokens are read from storage again after an hour", async () => {
    await gateway.identify("tok");
    tokens.rows.clear();
    whoami.answer = async () => refusal();
    await time.advance(3_600_000);
    expect(await codeOf(gateway.identify("tok"))).toBe("unknown_token");
  });

  test("[GW-31] an older token of a device is proven anew once there is a newer one, and goes when it is refused", async () => {
    await gateway.identify("old");
    await gateway.identify("new");
    whoami.calls.length = 0;
    await gateway.identify("new");
    await gateway.identify("old");
    await gateway.identify("old");
    expect(whoami.calls).toEqual(["old"]);
    // It does not take the place of the newer one.
    expect(toldTypes("poller").filter((type) => type === "token-changed")).toHaveLength(2);
    whoami.answer = async () => refusal();
    await time.advance(3_600_000);
    expect(await codeOf(gateway.identify("old"))).toBe("unknown_token");
    expect([...tokens.rows.keys()]).toEqual([hashToken("new")]);
    expect(await codeOf(gateway.identify("new"))).toBe("no error");
  });

  test("[GW-32] while the homeserver cannot be asked, an older token is believed for a minute at a time", async () => {
    await gateway.identify("old");
    await gateway.identify("new");
    whoami.answer = async () => failed({ kind: "transient", status: 503, retryAfterMs: 0, reason: "status 503" });
    whoami.calls.length = 0;
    expect(await codeOf(gateway.identify("old"))).toBe("no error");
    await gateway.identify("old");
    await time.advance(60_000);
    await gateway.identify("old");
    expect(whoami.calls).toEqual(["old", "old"]);
  });

  test("[GW-33] a token of another device is not asked about", async () => {
    await gateway.identify("phone");
    whoami.answer = async () => accepted("OTHER");
    await gateway.identify("laptop");
    whoami.calls.length = 0;
    await gateway.identify("phone");
    expect(whoami.calls).toEqual([]);
  });
});

describe("sync", () => {
  const identity: Identity = { userId: ALICE, deviceId: DEVICE, tokenHash: hashToken("tok") };
  const input = (over: { pos?: string | null; timeoutMs?: number; connId?: string; signal?: AbortSignal } = {}) => ({
    dialect: "msc3575" as const,
    pos: over.pos === undefined ? "p0" : over.pos,
    timeoutMs: over.timeoutMs ?? 30_000,
    request: over.connId === undefined ? {} : { conn_id: over.connId },
    signal: over.signal ?? new AbortController().signal,
  });

  test("[GW-20] asks the connection of user, device and conn_id, with time to spare", async () => {
    const answer = gateway.sync(identity, input({ connId: "list" }));
    expect(asked[0]?.to).toEqual(connectionAddress(ALICE, DEVICE, "list" as never));
    expect(asked[0]?.options.deadlineMs).toBe(60_000);
    asked[0]?.resolve(ANSWER);
    expect(await answer).toBe(ANSWER);
    expect(metrics.gauges.get("sliding_sync_api_requests_in_flight")?.()).toBe(0);
  });

  test("[GW-21] a request without pos may wait for a first sync", async () => {
    void gateway.sync(identity, input({ pos: null }));
    expect(asked[0]?.options.deadlineMs).toBe(1_800_000);
  });

  test("[GW-22] a crashed host's request is asked once more when the host is back, with what is left of its time", async () => {
    const up = Promise.withResolvers<boolean>();
    isHostUp = () => up.promise;
    const answer = gateway.sync(identity, input());
    await time.advance(12_000);
    asked[0]?.reject(new SyncError("actor_stopped", "host died"));
    await settlePromises();
    expect(asked.length).toBe(1);
    up.resolve(true);
    await settlePromises();
    expect(asked[1]?.message.timeoutMs).toBe(18_000);
    expect(asked[1]?.message.requestId).toBe(asked[0]?.message.requestId as number);
    asked[1]?.resolve(ANSWER);
    expect(await answer).toBe(ANSWER);
  });

  test("[GW-23] it is asked no third time, and not at all when the host stays away", async () => {
    const twice = codeOf(gateway.sync(identity, input()));
    asked[0]?.reject(new SyncError("actor_stopped", "host died"));
    await settlePromises();
    asked[1]?.reject(new SyncError("actor_stopped", "host died again"));
    expect(await twice).toBe("actor_stopped");
    expect(asked.length).toBe(2);

    isHostUp = async () => false;
    const once = codeOf(gateway.sync(identity, input()));
    asked[2]?.reject(new SyncError("actor_stopped", "host died"));
    expect(await once).toBe("actor_stopped");
    expect(asked.length).toBe(3);
  });

  test("[GW-24] a client that hangs up cancels its request, and only its own", async () => {
    const abort = new AbortController();
    const gone = codeOf(gateway.sync(identity, input({ signal: abort.signal })));
    void gateway.sync(identity, input());
    abort.abort();
    expect(await gone).toBe("client_gone");
    expect(told).toEqual([
      {
        to: asked[0]?.to as Address,
        message: { type: "cancel-request", requestId: asked[0]?.message.requestId as number },
      },
    ]);
    expect(metrics.gauges.get("sliding_sync_api_requests_in_flight")?.()).toBe(1);
    // The late answer of the cancelled one goes nowhere and hurts nobody.
    asked[0]?.reject(new SyncError("unknown_pos", "late"));
    await settlePromises();
  });

  test("[GW-25] a client that is gone before or while a host is down is not asked for", async () => {
    expect(await codeOf(gateway.sync(identity, input({ signal: AbortSignal.abort() })))).toBe("client_gone");
    expect(asked.length).toBe(0);
    const up = Promise.withResolvers<boolean>();
    isHostUp = () => up.promise;
    const abort = new AbortController();
    const gone = codeOf(gateway.sync(identity, input({ signal: abort.signal })));
    asked[0]?.reject(new SyncError("actor_stopped", "host died"));
    await settlePromises();
    abort.abort();
    up.resolve(true);
    expect(await gone).toBe("client_gone");
    await settlePromises();
    expect(asked.length).toBe(1);
  });

  test("[GW-26] no answer in time cancels what is parked", async () => {
    const late = codeOf(gateway.sync(identity, input()));
    asked[0]?.reject(new SyncError("ask_timeout", "no answer"));
    expect(await late).toBe("ask_timeout");
    expect(told.map(({ message }) => message.type)).toEqual(["cancel-request"]);
  });

  test("[GW-27] a token the poller found dead is proven anew by the next request", async () => {
    const known = await gateway.identify("tok");
    const refused = codeOf(gateway.sync(known, input()));
    asked[0]?.reject(new SyncError("unknown_token", "EnsurePolling failed: access token invalid or invalidated"));
    expect(await refused).toBe("unknown_token");
    tokens.rows.clear();
    await gateway.identify("tok");
    expect(whoami.calls.length).toBe(2);
  });

  test("[GW-28] an expired token answers its own parked requests, not those of a newer token", async () => {
    void gateway.sync(identity, input({ connId: "a" }));
    void gateway.sync(identity, input({ connId: "a" }));
    void gateway.sync({ ...identity, tokenHash: hashToken("new") }, input({ connId: "b" }));
    gateway.kind.factory({} as never).receive({
      type: "token-expired",
      tokenHash: hashToken("tok"),
      userId: ALICE,
      deviceId: DEVICE,
    });
    expect(told).toEqual([{ to: connectionAddress(ALICE, DEVICE, "a" as never), message: { type: "device-expired" } }]);
  });

  test("[GW-29] one device cannot have any number of requests in flight, others are not hurt", async () => {
    for (let index = 0; index < 64; index++) void gateway.sync(identity, input());
    expect(await codeOf(gateway.sync(identity, input()))).toBe("limit_exceeded");
    void gateway.sync({ ...identity, deviceId: "OTHER" as DeviceId }, input());
    expect(asked.length).toBe(65);
    asked[0]?.resolve(ANSWER);
    await settlePromises();
    void gateway.sync(identity, input());
    expect(asked.length).toBe(66);
  });

  test("[GW-30] errors that are not ours are told as internal", async () => {
    const broken = gateway.sync(identity, input()).catch((error: unknown) => error);
    asked[0]?.reject(new TypeError("boom"));
    expect(await broken).toMatchObject({ code: "internal" });
  });
});
