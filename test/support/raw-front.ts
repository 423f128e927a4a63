import { Forwarder } from "#src/homeserver/forwarder.ts";
import { createFront } from "#src/http/front.ts";
import type { Listener } from "#src/http/listener.ts";
import { listenRaw } from "#src/http/raw-listener.ts";
import type { ForwardedEffect, PositionTokens } from "#src/ports/front.ts";
import { systemClock, systemTimers } from "#src/system.ts";
import { RecordingMetrics, recordingLogger } from "./recording.ts";

/** The front of a homeserver alone: forwards, and hands what is its own to `own`. */
export class RawFront {
  readonly log = recordingLogger();
  readonly metrics = new RecordingMetrics();
  readonly effects: { accessToken: string; effect: ForwardedEffect }[] = [];
  readonly ownRequests: Request[] = [];
  own: (request: Request) => Response | Promise<Response> = () => new Response("own");
  tokenAt: PositionTokens["tokenAt"] = () => Promise.resolve(null);
  #listener: Listener | null = null;

  get url(): string {
    return this.listener.address;
  }

  get listener(): Listener {
    if (this.#listener === null) throw new Error("the front is not open");
    return this.#listener;
  }

  static async start(homeserver: { url: string; socketPath?: string }, deadlineMs = 5000): Promise<RawFront> {
    const front = new RawFront();
    const ports = { clock: systemClock, timers: systemTimers };
    const address = { url: homeserver.url, socketPath: homeserver.socketPath ?? null };
    front.#listener = await listenRaw({
      bind: { kind: "tcp", host: "127.0.0.1", port: 0 },
      tls: null,
      timers: systemTimers,
      handle: createFront({
        ...ports,
        forwarder: new Forwarder({ ...ports, address, frontId: "front", deadlineMs }),
        tokens: { tokenAt: (...asked) => front.tokenAt(...asked) },
        observer: { forwarded: (accessToken, effect) => void front.effects.push({ accessToken, effect }) },
        handle: (request) => {
          front.ownRequests.push(request);
          return front.own(request);
        },
        scheme: "http",
        log: front.log,
        metrics: front.metrics,
      }),
    });
    return front;
  }

  stop(): Promise<void> {
    return this.listener.stop(0);
  }
}
