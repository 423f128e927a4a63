import { beforeEach, describe, expect, test } from "bun:test";
import type { UpstreamFailure } from "#src/ports/homeserver.ts";
import type { DeviceId } from "#src/protocol/ids.ts";
import { settlePromises } from "#test/support/virtual-time.ts";
import { ALICE, DEVICE, GatewayRig, accepted, codeOf, failed, hashToken, refusal, type WhoAmI } from "./rig.ts";

let rig: GatewayRig;
beforeEach(() => {
  rig = new GatewayRig();
});

describe("identify", () => {
  test("[GW-1] a token that is new to us is proven by the homeserver, stored, and told to its poller", async () => {
    expect(await rig.gateway.identify("tok")).toEqual({ userId: ALICE, deviceId: DEVICE, tokenHash: hashToken("tok") });
    expect(rig.tokens.rows.get(hashToken("tok"))).toMatchObject({ userId: ALICE, deviceId: DEVICE });
    expect(rig.toldTypes("poller")).toEqual(["token-changed", "touch"]);
  });

  test("[GW-2] a stored token costs no upstream call, a remembered one no storage either", async () => {
    rig.tokens.rows.set(hashToken("tok"), { userId: ALICE, deviceId: DEVICE, lastSeenMs: rig.time.now() });
    await rig.gateway.identify("tok");
    await rig.gateway.identify("tok");
    expect([rig.whoami.calls.length, rig.tokens.finds]).toEqual([0, 1]);
    expect(rig.toldTypes("poller")).toEqual(["touch"]);
  });

  test("[GW-3] lookups of one token at the same time share one", async () => {
    const answer = Promise.withResolvers<WhoAmI>();
    rig.whoami.answer = () => answer.promise;
    const both = Promise.all([rig.gateway.identify("tok"), rig.gateway.identify("tok"), rig.gateway.identify("tok")]);
    await settlePromises();
    answer.resolve(accepted());
    await both;
    expect(rig.whoami.calls).toEqual(["tok"]);
  });

  test("[GW-4] a refusal is remembered for a second, and no longer", async () => {
    rig.whoami.answer = async () => refusal();
    expect(await codeOf(rig.gateway.identify("bad"))).toBe("unknown_token");
    await rig.time.advance(900);
    expect(await codeOf(rig.gateway.identify("bad"))).toBe("unknown_token");
    expect(rig.whoami.calls.length).toBe(1);
    await rig.time.advance(200);
    rig.whoami.answer = async () => accepted();
    expect(await codeOf(rig.gateway.identify("bad"))).toBe("no error");
    expect(rig.whoami.calls.length).toBe(2);
    expect(rig.metrics.of("sliding_sync_token_lookups_total", { source: "refused" })).toBe(1);
  });

  test("[GW-5] a soft logout stays one", async () => {
    rig.whoami.answer = async () => refusal(true);
    expect(await codeOf(rig.gateway.identify("bad"))).toBe("soft_logout");
    expect(await codeOf(rig.gateway.identify("bad"))).toBe("soft_logout");
    expect(rig.whoami.calls.length).toBe(1);
  });

  test.each([
    [{ kind: "transient", status: 503, retryAfterMs: 0, reason: "HTTP 503" }, "/whoami returned HTTP 503"],
    [{ kind: "refused", status: 403, errcode: "M_FORBIDDEN", reason: "no", body: "{}" }, "/whoami returned HTTP 403"],
    [
      { kind: "transient", status: 0, retryAfterMs: 0, reason: "connect ECONNREFUSED 10.0.0.3" },
      "the homeserver cannot be reached",
    ],
  ] as [UpstreamFailure, string][])(
    "[GW-6] %p is the homeserver's trouble, and not remembered",
    async (failure, text) => {
      rig.whoami.answer = async () => failed(failure);
      const error = await rig.gateway.identify("tok").catch((caught: unknown) => caught);
      expect(error).toMatchObject({ code: "homeserver_unreachable", message: text });
      rig.whoami.answer = async () => accepted();
      expect(await codeOf(rig.gateway.identify("tok"))).toBe("no error");
      expect(rig.log.lines.map(({ level }) => level)).toEqual(["warn"]);
    },
  );

  test("[GW-7] a token without a device gets the empty one", async () => {
    rig.whoami.answer = async () => accepted(null);
    expect((await rig.gateway.identify("tok")).deviceId).toBe("" as DeviceId);
  });

  test("[GW-8] a rotated token is stored and told to the poller of the same device", async () => {
    await rig.gateway.identify("old");
    rig.told.length = 0;
    expect(await rig.gateway.identify("new")).toMatchObject({ deviceId: DEVICE, tokenHash: hashToken("new") });
    expect(rig.toldTypes("poller")).toContain("token-changed");
    expect(rig.tokens.rows.size).toBe(2);
  });

  test("[GW-9] last use is stored every half hour, and told to the poller every minute", async () => {
    await rig.gateway.identify("tok");
    for (let minute = 0; minute < 61; minute++) {
      await rig.time.advance(60_000);
      await rig.gateway.identify("tok");
      await rig.gateway.identify("tok");
    }
    expect(rig.tokens.touched.length).toBe(2);
    expect(rig.toldTypes("poller").filter((type) => type === "touch").length).toBe(62);
  });

  test("[GW-10] a database that is away is waited for, up to ten seconds", async () => {
    rig.tokens.isDown = true;
    const back = rig.gateway.identify("tok");
    await rig.time.advance(5_000);
    rig.tokens.isDown = false;
    await rig.time.advance(1_000);
    expect(await codeOf(back)).toBe("no error");

    rig.tokens.isDown = true;
    const away = codeOf(rig.gateway.identify("other"));
    await rig.time.advance(11_000);
    expect(await away).toBe("storage_unavailable");
    expect(rig.time.pendingCount).toBe(0);
  });

  test("[GW-11] an expired token is proven anew, also when it expires while it is looked up", async () => {
    await rig.gateway.identify("tok");
    const expire = (): void =>
      rig.gateway.kind.factory({} as never).receive({
        type: "token-expired",
        tokenHash: hashToken("tok"),
        userId: ALICE,
        deviceId: DEVICE,
      });
    rig.tokens.rows.clear();
    expire();
    const answer = Promise.withResolvers<WhoAmI>();
    rig.whoami.answer = () => answer.promise;
    const looking = rig.gateway.identify("tok");
    await settlePromises();
    expire();
    answer.resolve(accepted());
    await looking;
    rig.tokens.rows.clear();
    rig.whoami.answer = async () => refusal();
    expect(await codeOf(rig.gateway.identify("tok"))).toBe("unknown_token");
    expect(rig.whoami.calls.length).toBe(3);
  });

  test("[GW-45] of an expired token storage is not believed, which may still hold it", async () => {
    await rig.gateway.identify("tok");
    rig.gateway.kind.factory({} as never).receive({
      type: "token-expired",
      tokenHash: hashToken("tok"),
      userId: ALICE,
      deviceId: DEVICE,
    });
    expect(rig.tokens.rows.size).toBe(1);
    rig.whoami.answer = async () => refusal();
    expect(await codeOf(rig.gateway.identify("tok"))).toBe("unknown_token");
    rig.whoami.answer = async () => accepted();
    await rig.time.advance(2000);
    await rig.gateway.identify("tok");
    expect(rig.whoami.calls.length).toBe(3);
  });

  test("[GW-12] a flood of made-up tokens is limited, known ones still pass", async () => {
    await rig.gateway.identify("known");
    rig.whoami.answer = () => new Promise(() => {});
    for (let index = 0; index < 256; index++) void rig.gateway.identify(`made-up ${index}`);
    expect(await codeOf(rig.gateway.identify("one more"))).toBe("limit_exceeded");
    expect(await codeOf(rig.gateway.identify("known"))).toBe("no error");
  });

  test("[GW-13] proven tokens are read from storage again after an hour", async () => {
    await rig.gateway.identify("tok");
    rig.tokens.rows.clear();
    rig.whoami.answer = async () => refusal();
    await rig.time.advance(3_600_000);
    expect(await codeOf(rig.gateway.identify("tok"))).toBe("unknown_token");
  });

  test("[GW-31] an older token of a device is proven anew once there is a newer one, and goes when it is refused", async () => {
    await rig.gateway.identify("old");
    await rig.gateway.identify("new");
    rig.whoami.calls.length = 0;
    await rig.gateway.identify("new");
    await rig.gateway.identify("old");
    await rig.gateway.identify("old");
    expect(rig.whoami.calls).toEqual(["old"]);
    // It does not take the place of the newer one.
    expect(rig.toldTypes("poller").filter((type) => type === "token-changed")).toHaveLength(2);
    rig.whoami.answer = async () => refusal();
    await rig.time.advance(3_600_000);
    expect(await codeOf(rig.gateway.identify("old"))).toBe("unknown_token");
    expect([...rig.tokens.rows.keys()]).toEqual([hashToken("new")]);
    expect(await codeOf(rig.gateway.identify("new"))).toBe("no error");
  });

  test("[GW-32] while the homeserver cannot be asked, an older token is believed for a minute at a time", async () => {
    await rig.gateway.identify("old");
    await rig.gateway.identify("new");
    rig.whoami.answer = async () => failed({ kind: "transient", status: 503, retryAfterMs: 0, reason: "status 503" });
    rig.whoami.calls.length = 0;
    expect(await codeOf(rig.gateway.identify("old"))).toBe("no error");
    await rig.gateway.identify("old");
    await rig.time.advance(60_000);
    await rig.gateway.identify("old");
    expect(rig.whoami.calls).toEqual(["old", "old"]);
  });

  test("[GW-33] a token of another device is not asked about", async () => {
    await rig.gateway.identify("phone");
    rig.whoami.answer = async () => accepted("OTHER");
    await rig.gateway.identify("laptop");
    rig.whoami.calls.length = 0;
    await rig.gateway.identify("phone");
    expect(rig.whoami.calls).toEqual([]);
  });
});
