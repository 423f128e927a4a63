import { beforeEach, describe, expect, test } from "bun:test";
import type { Address } from "#actors/runtime/actor.ts";
import { SyncError } from "#src/errors.ts";
import type { Identity } from "#src/ports/gateway.ts";
import type { DeviceId } from "#src/protocol/ids.ts";
import { connectionAddress } from "#actors/addresses.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { ALICE, ANSWER, DEVICE, GatewayRig, codeOf, hashToken } from "./rig.ts";

let rig: GatewayRig;
beforeEach(() => {
  rig = new GatewayRig();
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
    const answer = rig.gateway.sync(identity, input({ connId: "list" }));
    expect(rig.asked[0]?.to).toEqual(connectionAddress(ALICE, DEVICE, "list" as never));
    expect(rig.asked[0]?.options.deadlineMs).toBe(60_000);
    rig.asked[0]?.resolve(ANSWER);
    expect(await answer).toBe(ANSWER);
    expect(rig.metrics.gauges.get("sliding_sync_api_requests_in_flight")?.()).toBe(0);
  });

  test("[GW-21] a request without pos may wait for a first sync", async () => {
    void rig.gateway.sync(identity, input({ pos: null }));
    expect(rig.asked[0]?.options.deadlineMs).toBe(1_800_000);
  });

  test("[GW-22] a crashed host's request is asked once more when the host is back, with what is left of its time", async () => {
    const up = Promise.withResolvers<boolean>();
    rig.isHostUp = () => up.promise;
    const answer = rig.gateway.sync(identity, input());
    await rig.time.advance(12_000);
    rig.asked[0]?.reject(new SyncError("actor_stopped", "host died"));
    await settlePromises();
    expect(rig.asked.length).toBe(1);
    up.resolve(true);
    await settlePromises();
    expect(rig.asked[1]?.message.timeoutMs).toBe(18_000);
    expect(rig.asked[1]?.message.requestId).toBe(rig.asked[0]?.message.requestId as number);
    rig.asked[1]?.resolve(ANSWER);
    expect(await answer).toBe(ANSWER);
  });

  test("[GW-23] it is asked no third time, and not at all when the host stays away", async () => {
    const twice = codeOf(rig.gateway.sync(identity, input()));
    rig.asked[0]?.reject(new SyncError("actor_stopped", "host died"));
    await settlePromises();
    rig.asked[1]?.reject(new SyncError("actor_stopped", "host died again"));
    expect(await twice).toBe("actor_stopped");
    expect(rig.asked.length).toBe(2);

    rig.isHostUp = async () => false;
    const once = codeOf(rig.gateway.sync(identity, input()));
    rig.asked[2]?.reject(new SyncError("actor_stopped", "host died"));
    expect(await once).toBe("actor_stopped");
    expect(rig.asked.length).toBe(3);
  });

  test("[GW-24] a client that hangs up cancels its request, and only its own", async () => {
    const abort = new AbortController();
    const gone = codeOf(rig.gateway.sync(identity, input({ signal: abort.signal })));
    void rig.gateway.sync(identity, input());
    abort.abort();
    expect(await gone).toBe("client_gone");
    expect(rig.told).toEqual([
      {
        to: rig.asked[0]?.to as Address,
        message: { type: "cancel-request", requestId: rig.asked[0]?.message.requestId as number },
      },
    ]);
    expect(rig.metrics.gauges.get("sliding_sync_api_requests_in_flight")?.()).toBe(1);
    // The late answer of the cancelled one goes nowhere and hurts nobody.
    rig.asked[0]?.reject(new SyncError("unknown_pos", "late"));
    await settlePromises();
  });

  test("[GW-25] a client that is gone before or while a host is down is not asked for", async () => {
    expect(await codeOf(rig.gateway.sync(identity, input({ signal: AbortSignal.abort() })))).toBe("client_gone");
    expect(rig.asked.length).toBe(0);
    const up = Promise.withResolvers<boolean>();
    rig.isHostUp = () => up.promise;
    const abort = new AbortController();
    const gone = codeOf(rig.gateway.sync(identity, input({ signal: abort.signal })));
    rig.asked[0]?.reject(new SyncError("actor_stopped", "host died"));
    await settlePromises();
    abort.abort();
    up.resolve(true);
    expect(await gone).toBe("client_gone");
    await settlePromises();
    expect(rig.asked.length).toBe(1);
  });

  test("[GW-26] no answer in time cancels what is parked", async () => {
    const late = codeOf(rig.gateway.sync(identity, input()));
    rig.asked[0]?.reject(new SyncError("ask_timeout", "no answer"));
    expect(await late).toBe("ask_timeout");
    expect(rig.told.map(({ message }) => message.type)).toEqual(["cancel-request"]);
  });

  test("[GW-27] a token the poller found dead is proven anew by the next request", async () => {
    const known = await rig.gateway.identify("tok");
    const refused = codeOf(rig.gateway.sync(known, input()));
    rig.asked[0]?.reject(new SyncError("unknown_token", "EnsurePolling failed: access token invalid or invalidated"));
    expect(await refused).toBe("unknown_token");
    rig.tokens.rows.clear();
    await rig.gateway.identify("tok");
    expect(rig.whoami.calls.length).toBe(2);
  });

  test("[GW-28] an expired token answers its own parked requests, not those of a newer token", async () => {
    void rig.gateway.sync(identity, input({ connId: "a" }));
    void rig.gateway.sync(identity, input({ connId: "a" }));
    void rig.gateway.sync({ ...identity, tokenHash: hashToken("new") }, input({ connId: "b" }));
    rig.gateway.kind.factory({} as never).receive({
      type: "token-expired",
      tokenHash: hashToken("tok"),
      userId: ALICE,
      deviceId: DEVICE,
    });
    expect(rig.told).toEqual([
      { to: connectionAddress(ALICE, DEVICE, "a" as never), message: { type: "device-expired" } },
    ]);
  });

  test("[GW-29] one device cannot have any number of requests in flight, others are not hurt", async () => {
    for (let index = 0; index < 64; index++) void rig.gateway.sync(identity, input());
    expect(await codeOf(rig.gateway.sync(identity, input()))).toBe("limit_exceeded");
    void rig.gateway.sync({ ...identity, deviceId: "OTHER" as DeviceId }, input());
    expect(rig.asked.length).toBe(65);
    rig.asked[0]?.resolve(ANSWER);
    await settlePromises();
    void rig.gateway.sync(identity, input());
    expect(rig.asked.length).toBe(66);
  });

  test("[GW-30] errors that are not ours are told as internal", async () => {
    const broken = rig.gateway.sync(identity, input()).catch((error: unknown) => error);
    rig.asked[0]?.reject(new TypeError("boom"));
    expect(await broken).toMatchObject({ code: "internal" });
  });
});
