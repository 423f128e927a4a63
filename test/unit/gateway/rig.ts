import { createHash } from "node:crypto";
import { SyncError } from "#src/errors.ts";
import type { ErrorCode } from "#src/errors.ts";
import type { SyncAnswer } from "#src/ports/gateway.ts";
import type { Homeserver, UpstreamFailure, UpstreamResult } from "#src/ports/homeserver.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import { createGateway } from "#actors/gateway/gateway.ts";
import type { Gateway } from "#actors/gateway/gateway.ts";
import type { Address, AskOptions } from "#actors/runtime/actor.ts";
import { recordingLogger, RecordingMetrics } from "#test/support/recording.ts";
import { VirtualTime } from "#test/support/virtual-time.ts";

export const ALICE = "@alice:hs" as UserId;
export const DEVICE = "DEV" as DeviceId;
export const hashToken = (token: string): string => createHash("sha256").update(token).digest("hex");

/** What the homeserver answers. */
export type WhoAmI = Awaited<ReturnType<Homeserver["whoami"]>>;

/** What the homeserver says of a good token. */
export const accepted = (deviceId: string | null = "DEV"): WhoAmI => ({
  ok: true,
  value: { userId: ALICE, deviceId: deviceId as DeviceId | null, isGuest: false },
});
/** What it says when the call fails. */
export const failed = (failure: UpstreamFailure): UpstreamResult<never> => ({ ok: false, failure });
/** What it says of a dead token. */
export const refusal = (softLogout = false): WhoAmI => failed({ kind: "auth", softLogout, status: 401, body: "{}" });

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

/** What a connection answers. */
export const ANSWER: SyncAnswer = {
  body: new Uint8Array([123, 125]),
  posOut: "p1",
  rooms: 0,
  ops: 0,
  waitedMs: 0,
  setupMs: 0,
};

/** A gateway between a made-up homeserver, a store of tokens, and actors that answer when they are told to. */
export class GatewayRig {
  readonly time = new VirtualTime();
  readonly tokens = new FakeTokens();
  readonly whoami = { calls: [] as string[], answer: async (): Promise<WhoAmI> => accepted() };
  readonly asked: Asked[] = [];
  readonly told: { to: Address; message: { type: string; requestId?: number } }[] = [];
  isHostUp = async (): Promise<boolean> => true;
  readonly metrics = new RecordingMetrics();
  readonly log = recordingLogger();
  readonly gateway: Gateway = createGateway({
    devices: this.tokens,
    homeserver: {
      whoami: (token) => {
        this.whoami.calls.push(token);
        return this.whoami.answer();
      },
    },
    hashToken,
    isAllowed: () => true,
    clock: this.time,
    timers: this.time,
    log: this.log,
    metrics: this.metrics,
    actors: {
      tell: (to, message) => void this.told.push({ to, message }),
      ask: <T>(to: Address, message: { type: string }, options: AskOptions) =>
        new Promise<T>((resolve, reject) => {
          this.asked.push({
            to,
            message: message as Asked["message"],
            options,
            resolve: resolve as unknown as Asked["resolve"],
            reject,
          });
        }),
    },
    whenHostUp: () => this.isHostUp(),
    initialTimeoutMs: 1_800_000,
  });

  toldTypes(kind: Address["kind"]): string[] {
    return this.told.filter(({ to }) => to.kind === kind).map(({ message }) => message.type);
  }
}

/** What a promise is rejected with. */
export async function codeOf(promise: Promise<unknown>): Promise<ErrorCode | "no error"> {
  try {
    await promise;
    return "no error";
  } catch (error) {
    return error instanceof SyncError ? error.code : "internal";
  }
}
