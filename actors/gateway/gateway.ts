import { SyncError } from "#src/errors.ts";
import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import type { ConnId } from "#src/protocol/ids.ts";
import { isLoose } from "#src/protocol/loose-pos.ts";
import type { ForwardObserver } from "#src/ports/front.ts";
import type { Identity, SyncAnswer, SyncGateway, SyncInput } from "#src/ports/gateway.ts";
import { connectionAddress, looseAddress, pollerAddress } from "#actors/addresses.ts";
import type { ConnectionCommand } from "#actors/connection/messages.ts";
import type { ActorContext, ActorKind, Address } from "#actors/runtime/actor.ts";
import type { PollerCommand } from "#actors/poller/messages.ts";
import { ForwardWatch } from "./forward-watch.ts";
import type { GatewayMessage } from "./messages.ts";
import { TokenIdentifier } from "./token-identifier.ts";
import type { IdentifierDeps } from "./token-identifier.ts";
import { SmallMap } from "#src/small-collections.ts";

/** How much longer than its own timeout a request may take: restoring a connection, a database that is slow. */
const ANSWER_SLACK_MS = 30_000;
/** How long a request waits for a crashed host to come back before it is told so. */
const RESTART_WAIT_MS = 10_000;
/** Clients keep one request per connection in flight, and repeat some; this many from one device is abuse. */
const REQUESTS_PER_DEVICE = 64;
/** A parked request costs about 5 KB here: this bounds them to some 300 MB. */
const REQUESTS_IN_FLIGHT = 60_000;
const MAILBOX_LIMIT = 10_000;
/** A client is as it said it is for so long behind its request: its next one may be on the way. */
const SEEN_SLACK_MS = 30_000;

/** What the gateway needs of the outside. */
export interface GatewayDeps extends Omit<IdentifierDeps, "onTokenSaved" | "onDeviceUsed"> {
  actors: Pick<ActorContext<never>, "ask" | "tell">;
  /** Resolves true as soon as the host of this address takes messages, false when it did not within the time. */
  whenHostUp: (address: Address, withinMs: number) => Promise<boolean>;
  /** How long a request without `pos` is held: it may wait for a first sync. */
  initialTimeoutMs: number;
}

/** The gateway and the actor by which others reach it. */
export interface Gateway extends SyncGateway, ForwardObserver {
  /** See `TokenIdentifier.recognise`. */
  recognise(accessToken: string): Promise<Identity | null>;
  readonly kind: ActorKind<GatewayMessage>;
}

interface RequestInFlight {
  address: Address;
  tokenHash: string;
}

type Command<T extends ConnectionCommand["type"]> = Omit<Extract<ConnectionCommand, { type: T }>, "reply">;

/** Makes main's end of the actor system: whose token it is, and which connection answers. */
export function createGateway(deps: GatewayDeps): Gateway {
  const tellPoller = (address: Address, message: Exclude<PollerCommand, { type: "ensure-polling" }>): void =>
    deps.actors.tell(address, message);
  const identifier = new TokenIdentifier({
    ...deps,
    // Also for a device that is new: its poller then loads what was just stored.
    onTokenSaved: (userId, deviceId) => tellPoller(pollerAddress(userId, deviceId), { type: "token-changed" }),
    onDeviceUsed: (userId, deviceId) => tellPoller(pollerAddress(userId, deviceId), { type: "touch" }),
  });
  const inFlight = new Map<string, SmallMap<number, RequestInFlight>>();
  let inFlightCount = 0;
  let lastRequestId = 0;
  deps.metrics.gauge("sliding_sync_api_requests_in_flight", () => inFlightCount);

  const tellConnection = (to: Address, message: Command<"cancel-request"> | Command<"device-expired">): void =>
    deps.actors.tell(to, message);

  function admit(deviceKey: string, requestId: number, request: RequestInFlight): void {
    const ofDevice = inFlight.get(deviceKey) ?? new SmallMap<number, RequestInFlight>();
    if (ofDevice.size >= REQUESTS_PER_DEVICE || inFlightCount >= REQUESTS_IN_FLIGHT) {
      throw new SyncError("limit_exceeded", "too many requests at once");
    }
    ofDevice.set(requestId, request);
    inFlight.set(deviceKey, ofDevice);
    inFlightCount++;
  }

  function release(deviceKey: string, requestId: number): void {
    const ofDevice = inFlight.get(deviceKey);
    if (ofDevice?.delete(requestId) !== true) return;
    inFlightCount--;
    if (ofDevice.size === 0) inFlight.delete(deviceKey);
  }

  async function askConnection(
    address: Address,
    message: Command<"sync-request">,
    signal: AbortSignal,
  ): Promise<SyncAnswer> {
    const startedMs = deps.clock.mono();
    const deadlineMs = message.pos === null ? deps.initialTimeoutMs : message.timeoutMs + ANSWER_SLACK_MS;
    try {
      return await deps.actors.ask<SyncAnswer>(address, message, { deadlineMs });
    } catch (error) {
      if (!(error instanceof SyncError) || error.code !== "actor_stopped") throw error;
      // A crashed host is an ordinary event: the connection is restored on the new one, and `pos` tells it where to go on.
      const isUp = await deps.whenHostUp(address, Math.min(RESTART_WAIT_MS, deadlineMs));
      if (!isUp || signal.aborted) throw error;
    }
    deps.metrics.count("sliding_sync_api_retried_requests_total");
    const spentMs = deps.clock.mono() - startedMs;
    const timeoutMs = Math.max(0, message.timeoutMs - spentMs);
    const again: Command<"sync-request"> = { ...message, timeoutMs };
    return deps.actors.ask<SyncAnswer>(address, again, {
      deadlineMs: message.pos === null ? Math.max(1, deadlineMs - spentMs) : timeoutMs + ANSWER_SLACK_MS,
    });
  }

  async function sync(identity: Identity, input: SyncInput): Promise<SyncAnswer> {
    const { userId, deviceId, tokenHash } = identity;
    const { signal } = input;
    if (signal.aborted) throw new SyncError("client_gone", "client hung up before its request was read");
    const dialect = DIALECTS[input.dialect];
    const connId = `${dialect.connScope}${input.request.conn_id ?? ""}` as ConnId;
    const deviceKey = JSON.stringify([userId, deviceId]);
    const requestId = ++lastRequestId;
    const address =
      dialect.policy.hasLooseRequests && isLoose(input.request, input.pos)
        ? looseAddress(userId, deviceId, connId, requestId)
        : connectionAddress(userId, deviceId, connId);
    const message: Command<"sync-request"> = {
      type: "sync-request",
      userId,
      deviceId,
      connId,
      dialect: input.dialect,
      pos: input.pos,
      timeoutMs: input.timeoutMs,
      request: input.request,
      requestId,
    };
    admit(deviceKey, requestId, { address, tokenHash });
    const { presence } = input;
    if (presence !== undefined) {
      const forMs = input.timeoutMs + SEEN_SLACK_MS;
      tellPoller(pollerAddress(userId, deviceId), { type: "be-seen", connection: connId, presence, forMs });
    }
    const gone = Promise.withResolvers<never>();
    const onAbort = (): void => {
      tellConnection(address, { type: "cancel-request", requestId });
      gone.reject(new SyncError("client_gone", "client hung up"));
    };
    signal.addEventListener("abort", onAbort, { once: true });
    try {
      return await Promise.race([askConnection(address, message, signal), gone.promise]);
    } catch (error) {
      if (!(error instanceof SyncError)) throw new SyncError("internal", "request failed", { cause: error });
      // The poller found the token dead: the next request must ask the homeserver, not our memory.
      if (error.code === "unknown_token" || error.code === "soft_logout") identifier.forget(tokenHash);
      // Nobody listens any more: what is parked for it can go.
      if (error.code === "ask_timeout") tellConnection(address, { type: "cancel-request", requestId });
      throw error;
    } finally {
      signal.removeEventListener("abort", onAbort);
      release(deviceKey, requestId);
    }
  }

  function expireToken(message: GatewayMessage): void {
    identifier.forget(message.tokenHash);
    const ofDevice = inFlight.get(JSON.stringify([message.userId, message.deviceId]));
    if (ofDevice === undefined) return;
    // Requests of a newer token of the same device go on.
    const addresses = new Map<string, Address>();
    for (const { address, tokenHash } of ofDevice.values()) {
      if (tokenHash === message.tokenHash) addresses.set(address.key, address);
    }
    for (const address of addresses.values()) tellConnection(address, { type: "device-expired" });
  }

  const watch = new ForwardWatch({ ...deps, identifier, expire: expireToken });

  return {
    recognise: (accessToken) => identifier.recognise(accessToken),
    forwarded: (accessToken, effect) => watch.forwarded(accessToken, effect),
    identify: (accessToken) => identifier.identify(accessToken),
    sync,
    kind: {
      factory: () => ({ receive: expireToken }),
      mailboxLimit: MAILBOX_LIMIT,
      onCrash: "restart",
    },
  };
}
