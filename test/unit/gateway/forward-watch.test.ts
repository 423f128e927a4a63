import { beforeEach, describe, expect, test } from "bun:test";
import { createHash } from "node:crypto";
import { SyncError } from "#src/errors.ts";
import type { DeviceId, RoomId, UserId } from "#src/protocol/ids.ts";
import { unpackPollBatch } from "#src/protocol/packed.ts";
import type { Packed } from "#src/protocol/packed.ts";
import { connectionAddress, INGEST, pollerAddress } from "#actors/addresses.ts";
import { createGateway } from "#actors/gateway/gateway.ts";
import type { Gateway } from "#actors/gateway/gateway.ts";
import type { Address } from "#actors/runtime/actor.ts";
import { recordingLogger, RecordingMetrics } from "#test/support/recording.ts";
import { settlePromises, VirtualTime } from "#test/support/virtual-time.ts";

const ALICE = "@alice:hs" as UserId;
const hashToken = (token: string): string => createHash("sha256").update(token).digest("hex");

let time: VirtualTime;
let stored: Map<string, { userId: UserId; deviceId: DeviceId }>;
let finds: number;
let removed: string[];
let told: { to: Address; message: { type: string } }[];
let asked: { to: Address; message: { type: string; packed?: Packed } }[];
let whoamis: number;
let askFails: number;
let log: ReturnType<typeof recordingLogger>;
let metrics: RecordingMetrics;
let gateway: Gateway;

beforeEach(() => {
  time = new VirtualTime();
  stored = new Map(
    [
      ["tok", "DEV"],
      ["tok2", "DEV2"],
    ].map(([token = "", device]) => [hashToken(token), { userId: ALICE, deviceId: device as DeviceId }]),
  );
  finds = 0;
  removed = [];
  told = [];
  asked = [];
  whoamis = 0;
  askFails = 0;
  log = recordingLogger();
  metrics = new RecordingMetrics();
  gateway = createGateway({
    devices: {
      findToken: async (hash) => {
        finds += 1;
        const row = stored.get(hash);
        return row === undefined ? null : { ...row, lastSeenMs: time.now(), isNewest: true };
      },
      saveToken: async () => {},
      touchToken: async () => {},
      removeToken: async (hash) => void removed.push(hash),
    },
    homeserver: {
      whoami: async () => {
        whoamis += 1;
        return { ok: false, failure: { kind: "auth", softLogout: false, status: 401, body: "{}" } };
      },
    },
    hashToken,
    isAllowed: () => true,
    clock: time,
    timers: time,
    log,
    metrics,
    actors: {
      tell: (to, message) => void told.push({ to, message }),
      ask: <T>(to: Address, message: { type: string }) => {
        asked.push({ to, message });
        if (askFails > 0) {
          askFails -= 1;
          return Promise.reject<T>(new SyncError("actor_stopped", "made by the test"));
        }
        return new Promise<T>(() => {});
      },
    },
    whenHostUp: async () => true,
    initialTimeoutMs: 1000,
  });
});

const forwarded = async (
  token: string,
  effect: Parameters<Gateway["forwarded"]>[1] = { type: "news" },
): Promise<void> => {
  gateway.forwarded(token, effect);
  await settlePromises();
};
const polls = (): string[] => told.filter(({ message }) => message.type === "poll-now").map(({ to }) => to.key);
const DEV = pollerAddress(ALICE, "DEV" as DeviceId);

describe("what went by", () => {
  test("[FWD-44] news for a device has its poller poll at once; nobody else is asked or woken", async () => {
    await forwarded("tok");
    expect(told).toEqual([{ to: DEV, message: { type: "poll-now" } }]);
    await forwarded("tok2");
    expect(polls()).toEqual([DEV.key, pollerAddress(ALICE, "DEV2" as DeviceId).key]);
    expect([whoamis, asked.length]).toEqual([0, 0]);
  });

  test("[FWD-45] a crowd of news becomes at most five polls a second, and the last one is not lost", async () => {
    for (let step = 0; step < 1000; step++) {
      await forwarded("tok");
      await time.advance(1);
    }
    expect(polls().length).toBeGreaterThanOrEqual(5);
    expect(polls().length).toBeLessThanOrEqual(6);
    const before = polls().length;
    await forwarded("tok");
    await time.advance(1000);
    expect(polls().length).toBe(before + 1);
    await time.advance(10_000);
    expect(polls().length).toBe(before + 1);
    expect(time.pendingCount).toBe(0);
  });

  test("[FWD-46] tokens of devices that do not sync here mean nothing, and cost one lookup a minute", async () => {
    for (let times = 0; times < 10; times++) await forwarded("classic");
    expect([told.length, finds, whoamis]).toEqual([0, 1, 0]);
    await time.advance(60_000);
    await forwarded("classic");
    expect(finds).toBe(2);
  });

  test("[FWD-47] a room that was forgotten is told to ingest as a poll would tell it", async () => {
    await forwarded("tok", { type: "forgot-room", roomId: "!r:hs" as RoomId });
    expect(polls()).toEqual([DEV.key]);
    expect(asked.map(({ to }) => to)).toEqual([INGEST]);
    const batch = unpackPollBatch(asked[0]?.message.packed as Packed);
    expect(batch).toMatchObject({
      userId: ALICE,
      deviceId: "",
      since: null,
      rooms: [{ kind: "forgotten", roomId: "!r:hs" }],
    });
  });

  test("[FWD-96] a room whose forgetting could not be stored is forgotten as soon as it can be, and not tried for ever", async () => {
    askFails = 3;
    await forwarded("tok", { type: "forgot-room", roomId: "!r:hs" as RoomId });
    for (let passed = 0; passed < 10; passed += 1) await time.advance(1000);
    expect(asked).toHaveLength(4);
    expect(time.pendingCount).toBe(0);
    askFails = Number.POSITIVE_INFINITY;
    await forwarded("tok", { type: "forgot-room", roomId: "!r:hs" as RoomId });
    for (let passed = 0; passed < 30; passed += 1) await time.advance(60_000);
    expect(asked).toHaveLength(4 + 12);
    expect(time.pendingCount).toBe(0);
    const warnings = log.lines.filter(({ level }) => level === "warn").map(({ message }) => message.split(" ").at(-1));
    expect(warnings).toEqual(["later", "later", "learned"]);
  });

  test("[FWD-48] who logs out is out at once: waiting requests, poller and stored token", async () => {
    const identity = await gateway.identify("tok");
    told = [];
    const request = { lists: {} } as never;
    void gateway.sync(identity, {
      dialect: "msc3575",
      pos: "1",
      timeoutMs: 30_000,
      request,
      signal: new AbortController().signal,
    });
    await forwarded("tok", { type: "logged-out" });
    expect(told).toEqual([
      { to: connectionAddress(ALICE, "DEV" as DeviceId, "" as never), message: { type: "device-expired" } },
      { to: DEV, message: { type: "token-unused", tokenHash: hashToken("tok") } as never },
    ]);
    expect(removed).toEqual([hashToken("tok")]);
    // What is believed of it is gone too: the homeserver has the word.
    expect(await gateway.identify("tok").catch((error: unknown) => error)).toMatchObject({ code: "unknown_token" });
    expect(whoamis).toBe(1);
  });

  test("[FWD-48] and everywhere, on all devices that were seen lately", async () => {
    await gateway.identify("tok2");
    told = [];
    await forwarded("tok", { type: "logged-out-everywhere" });
    expect(removed.sort()).toEqual([hashToken("tok"), hashToken("tok2")].sort());
    expect(told.map(({ message }) => message.type)).toEqual(["token-unused", "token-unused"]);
  });

  test("[FWD-49] storage that is away is logged, and hurts nobody", async () => {
    stored.get = () => {
      throw new SyncError("storage_unavailable", "no connection");
    };
    await forwarded("tok");
    await forwarded("tok", { type: "logged-out" });
    expect(log.lines).toMatchObject([
      { level: "debug", fields: { effect: "news", reason: "storage_unavailable" } },
      { level: "warn", fields: { effect: "logged-out", reason: "storage_unavailable" } },
    ]);
    expect(JSON.stringify(log.lines)).not.toContain("tok");
  });
});
