import { SpanStatusCode, trace } from "@opentelemetry/api";
import type { Span } from "@opentelemetry/api";
import { type ErrorCode, SyncError, type ToldByHomeserver } from "#src/errors.ts";
import type { DeviceId, UserId } from "#src/protocol/ids.ts";
import type { Clock, Logger, Metrics, Timers } from "#src/ports/basics.ts";
import type { Identity } from "#src/ports/gateway.ts";
import type { Homeserver, UpstreamFailure } from "#src/ports/homeserver.ts";
import type { DeviceStore } from "#src/ports/stores.ts";
import { LruCache } from "#src/protocol/lru-cache.ts";

/** Proven tokens kept in memory: some 300 bytes each. */
const KNOWN_TOKENS = 50_000;
/** While the homeserver cannot be asked about an older token, it is asked again this often. */
const UNPROVEN_TTL_MS = 60_000;
/** Refused tokens kept in memory. */
const REFUSED_TOKENS = 10_000;
/** Devices that do not sync here are not looked for in storage again for so long. */
const STRANGER_TTL_MS = 60_000;
/** After this a proven token is looked up in storage again, where another node may have removed it. */
const KNOWN_TTL_MS = 60 * 60_000;
/** How long a token the homeserver refused is refused without asking again: who hammers costs it one question a second. */
const REFUSED_TTL_MS = 1000;
/** `last_seen` steers expiry in days: half an hour is exact enough and costs a write an hour at most. */
const TOUCH_STORE_MS = 30 * 60_000;
/** A poller in use hears of it this often; one that is parked hears at once, since its last touch is long ago. */
const TOUCH_POLLER_MS = 60_000;
/** Lookups of different unknown tokens at once: more is a flood of made-up ones. */
const LOOKUPS_LIMIT = 256;
/** How long a request waits for a database that is away. */
const STORAGE_WAIT_MS = 10_000;
const STORAGE_RETRY_MS = 250;

/** What the identifier needs of the outside. */
export interface IdentifierDeps {
  devices: Pick<DeviceStore, "findToken" | "saveToken" | "touchToken" | "removeToken">;
  homeserver: Pick<Homeserver, "whoami">;
  /** Whether a user is served here. */
  isAllowed: (userId: UserId) => boolean;
  /** The lookup key of a token, and the only form of it that is kept or logged. */
  hashToken: (accessToken: string) => string;
  clock: Clock;
  timers: Timers;
  log: Logger;
  metrics: Metrics;
  /** A token new to us is stored for this device. */
  onTokenSaved: (userId: UserId, deviceId: DeviceId) => void;
  /** The device is in use; called now and then. */
  onDeviceUsed: (userId: UserId, deviceId: DeviceId) => void;
}

interface KnownToken {
  identity: Identity;
  /** Believed until then. */
  untilMs: number;
  /** How many tokens of its device had been proven since the start. */
  proofs: number;
  storeTouchedMs: number;
  pollerTouchedMs: number;
}

interface RefusedToken {
  error: SyncError;
  refusedMs: number;
}

interface Lookup {
  result: Promise<KnownToken>;
  /** The token expired while it was looked up: the result must not be kept. */
  isStale: boolean;
}

/** Answers that the same token gets again. */
const REFUSALS: ReadonlySet<ErrorCode> = new Set(["unknown_token", "soft_logout", "forbidden"]);

const deviceKey = (userId: UserId, deviceId: DeviceId): string => `${userId}\0${deviceId}`;

/** Answers whose token it is: from memory, then storage, then the homeserver. */
export class TokenIdentifier {
  readonly #deps: IdentifierDeps;
  readonly #known = new LruCache<string, KnownToken>(KNOWN_TOKENS);
  readonly #refused = new LruCache<string, RefusedToken>(REFUSED_TOKENS);
  readonly #lookups = new Map<string, Lookup>();
  /** Tokens that the homeserver refused elsewhere: storage may still hold them for a moment, and is not asked. */
  readonly #doubted = new LruCache<string, true>(REFUSED_TOKENS);
  /** Tokens that are not of any device that syncs here, and when that was looked up. */
  readonly #strangers = new LruCache<string, number>(REFUSED_TOKENS);
  /** Tokens proven since the start, by device. */
  readonly #proofs = new LruCache<string, number>(KNOWN_TOKENS);

  constructor(deps: IdentifierDeps) {
    this.#deps = deps;
  }

  async identify(accessToken: string): Promise<Identity> {
    const { clock, hashToken } = this.#deps;
    const hash = hashToken(accessToken);
    const now = clock.now();
    const known = this.#known.get(hash);
    if (known !== undefined && now < known.untilMs && known.proofs === this.#proofsOf(known.identity)) {
      this.#count("memory");
      this.#touch(known, now);
      return known.identity;
    }
    const refused = this.#refused.get(hash);
    if (refused !== undefined && now - refused.refusedMs < REFUSED_TTL_MS) {
      this.#count("refused");
      throw refused.error;
    }
    const looked = await this.#lookUpOnce(hash, accessToken);
    this.#touch(looked, clock.now());
    return looked.identity;
  }

  /** Whose token it is if that is known here; the homeserver is not asked, and nobody is counted as in use. */
  async recognise(accessToken: string): Promise<Identity | null> {
    const { clock, devices, hashToken } = this.#deps;
    const hash = hashToken(accessToken);
    const known = this.#known.get(hash);
    if (known !== undefined) return known.identity;
    const lookedMs = this.#strangers.get(hash);
    if (lookedMs !== undefined && clock.now() - lookedMs < STRANGER_TTL_MS) return null;
    const found = await devices.findToken(hash);
    if (found !== null) return { userId: found.userId, deviceId: found.deviceId, tokenHash: hash };
    this.#strangers.set(hash, clock.now());
    return null;
  }

  /** Tokens of a user that are in memory. */
  tokensOf(userId: UserId): Identity[] {
    return this.#known.values().flatMap(({ identity }) => (identity.userId === userId ? [identity] : []));
  }

  /** The homeserver refused the token elsewhere: what we believe of it is void. */
  forget(hash: string): void {
    this.#known.delete(hash);
    this.#doubted.set(hash, true);
    const lookup = this.#lookups.get(hash);
    if (lookup !== undefined) lookup.isStale = true;
  }

  #lookUpOnce(hash: string, accessToken: string): Promise<KnownToken> {
    const running = this.#lookups.get(hash);
    if (running !== undefined) return running.result;
    if (this.#lookups.size >= LOOKUPS_LIMIT) {
      return Promise.reject(new SyncError("limit_exceeded", "too many unknown access tokens at once"));
    }
    const result = this.#traced(hash, accessToken).then(
      (known) => {
        if (!lookup.isStale) this.#known.set(hash, known);
        return known;
      },
      (error: unknown) => {
        if (error instanceof SyncError && REFUSALS.has(error.code)) {
          this.#refused.set(hash, { error, refusedMs: this.#deps.clock.now() });
        }
        throw error;
      },
    );
    const lookup: Lookup = { result: result.finally(() => this.#lookups.delete(hash)), isStale: false };
    this.#lookups.set(hash, lookup);
    return lookup.result;
  }

  #traced(hash: string, accessToken: string): Promise<KnownToken> {
    return trace.getTracer("glissade").startActiveSpan("gateway.token.lookup", async (span) => {
      try {
        return await this.#lookUp(hash, accessToken, span);
      } catch (error) {
        span.setStatus({ code: SpanStatusCode.ERROR, message: error instanceof SyncError ? error.code : "internal" });
        throw error;
      } finally {
        span.end();
      }
    });
  }

  async #lookUp(hash: string, accessToken: string, span: Span): Promise<KnownToken> {
    const { devices, homeserver, clock } = this.#deps;
    const isDoubted = this.#doubted.get(hash) !== undefined;
    const found = isDoubted ? null : await this.#patiently(() => devices.findToken(hash));
    span.setAttribute("sync.token_source", found === null ? "homeserver" : "storage");
    if (found !== null) {
      const { userId, deviceId, lastSeenMs } = found;
      this.#checkAllowed(userId);
      const ttlMs = found.isNewest ? KNOWN_TTL_MS : await this.#proveOlder(hash, accessToken);
      if (found.isNewest) this.#count("storage");
      return this.#knownToken({ userId, deviceId, tokenHash: hash }, lastSeenMs, ttlMs);
    }
    const answer = await homeserver.whoami(accessToken);
    if (!answer.ok) {
      this.#count(answer.failure.kind === "auth" ? "homeserver_refused" : "homeserver_failed");
      throw this.#failure(answer.failure);
    }
    this.#count("homeserver");
    this.#doubted.delete(hash);
    const { userId } = answer.value;
    this.#checkAllowed(userId);
    const deviceId = answer.value.deviceId ?? ("" as DeviceId);
    const nowMs = clock.now();
    await this.#patiently(() => devices.saveToken({ hash, accessToken, userId, deviceId, nowMs }));
    this.#deps.onTokenSaved(userId, deviceId);
    // What is believed of the device's other tokens was believed of a device that had no newer one.
    const device = deviceKey(userId, deviceId);
    this.#proofs.set(device, (this.#proofs.get(device) ?? 0) + 1);
    return this.#knownToken({ userId, deviceId, tokenHash: hash }, nowMs, KNOWN_TTL_MS);
  }

  /** Before anything of theirs is kept. */
  #checkAllowed(userId: UserId): void {
    if (this.#deps.isAllowed(userId)) return;
    throw new SyncError(
      "forbidden",
      `sliding sync is not offered to ${userId} here: ask the operator, who decides by SYNCV3_ALLOW and SYNCV3_DENY`,
    );
  }

  /**
   * A newer token of the device usually means that the homeserver has revoked this one, and no poller would ever notice, for it uses
   * the newer one. Answers how long it may be believed.
   */
  async #proveOlder(hash: string, accessToken: string): Promise<number> {
    const answer = await this.#deps.homeserver.whoami(accessToken);
    this.#count(answer.ok ? "homeserver" : `homeserver_${answer.failure.kind === "auth" ? "refused" : "failed"}`);
    if (answer.ok) return KNOWN_TTL_MS;
    if (answer.failure.kind !== "auth") return UNPROVEN_TTL_MS;
    await this.#patiently(() => this.#deps.devices.removeToken(hash));
    throw this.#failure(answer.failure);
  }

  #knownToken(identity: Identity, storeTouchedMs: number, ttlMs: number): KnownToken {
    const untilMs = this.#deps.clock.now() + ttlMs;
    return { identity, untilMs, proofs: this.#proofsOf(identity), storeTouchedMs, pollerTouchedMs: 0 };
  }

  #proofsOf({ userId, deviceId }: Identity): number {
    return this.#proofs.get(deviceKey(userId, deviceId)) ?? 0;
  }

  #failure(failure: UpstreamFailure): SyncError {
    const cause: ToldByHomeserver | undefined =
      failure.kind === "transient" ? undefined : { toldStatus: failure.status, toldBody: failure.body };
    if (failure.kind === "auth") {
      const code = failure.softLogout ? "soft_logout" : "unknown_token";
      return new SyncError(code, `/whoami returned HTTP ${failure.status}`, { cause });
    }
    this.#deps.log.warn({ status: failure.status, reason: failure.reason }, "token lookup failed at the homeserver");
    const text = failure.status > 0 ? `/whoami returned HTTP ${failure.status}` : "the homeserver cannot be reached";
    return new SyncError("homeserver_unreachable", text, { cause });
  }

  #touch(known: KnownToken, now: number): void {
    const { devices, log } = this.#deps;
    const { userId, deviceId, tokenHash } = known.identity;
    if (now - known.pollerTouchedMs >= TOUCH_POLLER_MS) {
      known.pollerTouchedMs = now;
      this.#deps.onDeviceUsed(userId, deviceId);
    }
    if (now - known.storeTouchedMs < TOUCH_STORE_MS) return;
    known.storeTouchedMs = now;
    devices.touchToken(tokenHash, now).catch((error: unknown) => {
      log.warn({ user_id: userId, device_id: deviceId, error: String(error) }, "last use of a token not stored");
    });
  }

  /** A database that is away for a moment is waited for, not told to the client. */
  async #patiently<T>(call: () => Promise<T>): Promise<T> {
    const { clock, timers } = this.#deps;
    const startedMs = clock.mono();
    for (;;) {
      try {
        return await call();
      } catch (error) {
        const isAway = error instanceof SyncError && error.code === "storage_unavailable";
        if (!isAway || clock.mono() - startedMs + STORAGE_RETRY_MS > STORAGE_WAIT_MS) throw error;
      }
      await new Promise<void>((resolve) => {
        timers.after(STORAGE_RETRY_MS, resolve);
      });
    }
  }

  #count(source: string): void {
    this.#deps.metrics.count("sliding_sync_token_lookups_total", 1, { source });
  }
}
