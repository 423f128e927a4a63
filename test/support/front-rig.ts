import { WELL } from "#test/support/well.ts";
import { openConsoleFiles } from "#src/console/console-files.ts";
import { clientConsole } from "#src/console/console-settings.ts";
import { AnnouncedVersions } from "#src/homeserver/announced-versions.ts";
import { createHomeserver } from "#src/homeserver/client.ts";
import { Forwarder } from "#src/homeserver/forwarder.ts";
import { createApp } from "#src/http/app.ts";
import { yieldToIo } from "#src/hosts/serve-host.ts";
import { RecentRequests } from "#src/http/recent-requests.ts";
import { ANNOUNCED_FEATURES } from "#src/http/front-paths.ts";
import { createFront } from "#src/http/front.ts";
import { type Listener, listen } from "#src/http/listener.ts";
import { withProbes } from "#src/http/probes.ts";
import { listenRaw } from "#src/http/raw-listener.ts";
import { DIALECTS } from "#src/protocol/dialects/dialects.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { StoredPositionTokens } from "#actors/gateway/position-tokens.ts";
import { hashToken } from "#db/secrets.ts";
import type { Session } from "./homeserver.ts";
import { silentLogger } from "./in-process.ts";
import type { WireEvent } from "./naive-client.ts";
import { NodeRig, type NodeRigOptions } from "./node-rig.ts";
import type { RigResponse } from "./sync-rig.ts";

/** Where requests go. */
export const SYNC_PATH = "/_matrix/client/unstable/org.matrix.msc3575/sync";

/** One request, as a client would write it. */
export interface FrontRequest {
  /** Sent as JSON, unless it is text: that is sent as it is. */
  body?: unknown;
  pos?: string;
  /** Of the query, as it is written there. */
  timeout?: number | string;
  signal?: AbortSignal;
  path?: string;
  /** null = without. */
  token?: string | null;
}

/** One answer, whatever its status. */
export interface FrontAnswer {
  status: number;
  headers: Headers;
  json: Record<string, unknown>;
}

/** The homeserver of tests answers at once, or never. */
const CHECKOUT = new URL("../..", import.meta.url).pathname;
const UPSTREAM_DEADLINE_MS = 30_000;

export interface FrontRigOptions extends NodeRigOptions {
  /** Everything else is handed on to the homeserver, as with `SYNCV3_FORWARD=1`. */
  isForwarding?: boolean;
}

/** A whole node behind a real port; the homeserver says only what the test makes it say. */
export class FrontRig {
  readonly node: NodeRig;
  readonly url: string;
  readonly #listener: Listener;
  /**
   * The homeserver knows nothing of the rooms that tests make up: it must not be believed when it is asked which there are.
   * Called by who has better answers.
   */
  readonly revealRooms: () => void;
  #events = 0;

  private constructor(node: NodeRig, listener: Listener) {
    this.node = node;
    this.#listener = listener;
    this.url = listener.address;
    this.revealRooms = node.homeserver.onRequest(({ pathname, userId }) =>
      /\/(joined_rooms|rooms\/[^/]+\/state)$/.test(pathname) && node.homeserver.script.isPuppet(userId ?? "")
        ? Response.json({ errcode: "M_UNRECOGNIZED", error: "made up: an old homeserver" }, { status: 404 })
        : undefined,
    );
  }

  static async start(options: FrontRigOptions = {}): Promise<FrontRig> {
    const node = await NodeRig.start(options);
    const ports = { clock: systemClock, timers: systemTimers };
    const address = { url: node.homeserver.url, socketPath: null };
    const app = createApp({
      gateway: {
        identify: (accessToken) => node.gateway.identify(accessToken),
        sync: (identity, input) => node.gateway.sync(identity, input),
      },
      dialects: Object.values(DIALECTS),
      ...ports,
      log: silentLogger,
      metrics: node.metrics,
      versions: new AnnouncedVersions({
        ...ports,
        address,
        frontId: "front",
        version: "test",
        features: ANNOUNCED_FEATURES,
        hashToken,
        deadlineMs: UPSTREAM_DEADLINE_MS,
      }),
      health: { report: async () => ({ ready: true, checks: [] }) },
      serverInfo: { server: node.homeserver.url, version: "test" },
      console: {
        files: openConsoleFiles([], CHECKOUT),
        settings: clientConsole(
          { isForwarding: options.isForwarding === true, publicServer: null, homeserver: address },
          "test",
          Object.keys(DIALECTS),
        ),
      },
      deepHealth: async () => WELL,
      recent: new RecentRequests(systemClock),
      afterReply: yieldToIo,
    });
    const handle = withProbes((request) => app.handle(request), {
      ...ports,
      isForwarding: options.isForwarding === true,
      metrics: node.metrics,
    });
    const place = { bind: { kind: "tcp", host: "127.0.0.1", port: 0 }, tls: null, timers: systemTimers } as const;
    const listener =
      options.isForwarding === true
        ? await listenRaw({
            ...place,
            handle: createFront({
              ...ports,
              forwarder: new Forwarder({ ...ports, address, frontId: "front", deadlineMs: UPSTREAM_DEADLINE_MS }),
              tokens: {
                tokenAt: (...place) =>
                  new StoredPositionTokens({
                    identifier: node.gateway,
                    ...node.stores,
                    homeserver: createHomeserver({
                      ...ports,
                      address,
                      version: "test",
                      deadlineMs: UPSTREAM_DEADLINE_MS,
                    }),
                    timers: systemTimers,
                  }).tokenAt(...place),
              },
              observer: { forwarded: (accessToken, effect) => node.gateway.forwarded(accessToken, effect) },
              handle,
              scheme: "http",
              log: silentLogger,
              metrics: node.metrics,
            }),
          })
        : await listen({ ...place, fetch: handle });
    return new FrontRig(node, listener);
  }

  /** An account whose syncs the test plays: `first` is the answer to its first one. */
  account(name: string, first: Record<string, unknown> = {}, deviceId?: string): Session {
    const session = this.node.homeserver.addAccount(name, `token-${name}-${deviceId ?? ""}`, deviceId);
    this.node.homeserver.queueResponse(session, { next_batch: `${name}-1`, ...first });
    return session;
  }

  /** Plays one sync of an account whose poller runs; resolves when all of it is applied. */
  async poll(session: Session, body: Record<string, unknown>): Promise<void> {
    this.#events += 1;
    this.node.homeserver.queueResponse(session, { next_batch: `next-${this.#events}`, ...body });
    await this.node.homeserver.waitUntilPolled(session);
  }

  /** An event with an id and a time of its own. */
  event(type: string, sender: string, content: Record<string, unknown>, stateKey?: string): WireEvent {
    this.#events += 1;
    return {
      event_id: `$event-${this.#events}`,
      type,
      sender,
      origin_server_ts: 1_700_000_000_000 + this.#events * 1000,
      content,
      ...(stateKey === undefined ? {} : { state_key: stateKey }),
    };
  }

  say(sender: string, body: string): WireEvent {
    return this.event("m.room.message", sender, { msgtype: "m.text", body });
  }

  /** `rooms` of a sync response in which one is in these rooms; the last one is the most recent. */
  joined(userId: string, names: readonly string[]): Record<string, unknown> {
    const join = Object.fromEntries(
      names.map((name) => {
        const events = [
          this.event("m.room.create", userId, { room_version: "11" }, ""),
          this.event("m.room.member", userId, { membership: "join" }, userId),
          this.event("m.room.name", userId, { name }, ""),
        ];
        const timeline = { events: [this.say(userId, `first of ${name}`)], limited: true, prev_batch: `p-${name}` };
        return [`!${name}:test`, { state: { events }, timeline }];
      }),
    );
    return { rooms: { join } };
  }

  /** The same, with one new message. */
  message(userId: string, name: string, body: string): Record<string, unknown> {
    return { rooms: { join: { [`!${name}:test`]: { timeline: { events: [this.say(userId, body)] } } } } };
  }

  async request(session: Session, { body, pos, timeout, signal, path, token }: FrontRequest): Promise<FrontAnswer> {
    const query = new URLSearchParams();
    if (pos !== undefined) query.set("pos", pos);
    if (timeout !== undefined) query.set("timeout", String(timeout));
    const headers = new Headers();
    if (token !== null) headers.set("authorization", `Bearer ${token ?? session.accessToken}`);
    const answer = await fetch(`${this.url}${path ?? SYNC_PATH}?${query}`, {
      method: "POST",
      headers,
      body: typeof body === "string" ? body : JSON.stringify(body ?? {}),
      signal: signal ?? null,
    });
    return { status: answer.status, headers: answer.headers, json: (await answer.json()) as Record<string, unknown> };
  }

  /** The same, for those who count on success. */
  async sync(session: Session, body: unknown, options: Omit<FrontRequest, "body"> = {}): Promise<RigResponse> {
    const { status, json } = await this.request(session, { timeout: 0, ...options, body });
    if (status !== 200) throw new Error(`sync was answered ${status}: ${JSON.stringify(json)}`);
    return json as unknown as RigResponse;
  }

  /** An answer as it was written. */
  async text(session: Session, body: unknown, pos: string): Promise<string> {
    const answer = await fetch(`${this.#listener.address}${SYNC_PATH}?${new URLSearchParams({ pos, timeout: "0" })}`, {
      method: "POST",
      headers: { authorization: `Bearer ${session.accessToken}` },
      body: JSON.stringify(body),
    });
    return answer.text();
  }

  /** Resolves when so many requests are in flight, and the node has done all it can do for them now. */
  async waiting(count: number): Promise<void> {
    const inFlight = this.node.metrics.gauges.get("sliding_sync_api_requests_in_flight");
    await this.node.until(() => inFlight?.() === count);
    await this.node.nodes.settled();
  }

  async stop(): Promise<void> {
    await this.#listener.stop(0);
    await this.node.stop();
  }
}
