import * as Comlink from "comlink";
import type { HostApi } from "./host-api.ts";
import { errorFromWire, errorToWire, type WireError } from "./error-wire.ts";
import type { AnswerFrame, Batch } from "./envelope.ts";
import type { HostRuntime, Taken } from "./host-runtime.ts";
import type { PeerLink, PeerPort } from "./peer-link.ts";
import type { HostId } from "./placement.ts";

/** A Worker, a MessagePort, or a Worker's own global scope. */
export type Wire = Comlink.Endpoint & { close?: () => void };

/** All that hosts say to each other. */
type Deliver = (batch: unknown) => Taken;

interface ThrownValue {
  value: unknown;
}

const THROW_HANDLER = "throw";

/** Comlink's own handler loses `code`; ours keeps it, and keeps the text of unknown errors where they were thrown. */
function installErrorHandler(): void {
  const own = Comlink.transferHandlers.get(THROW_HANDLER);
  if (own === undefined) return;
  Comlink.transferHandlers.set(THROW_HANDLER, {
    canHandle: (value): value is ThrownValue => own.canHandle(value),
    serialize: (thrown: ThrownValue): [WireError, Transferable[]] => [errorToWire(thrown.value), []],
    deserialize: (wire: WireError) => {
      throw errorFromWire(wire);
    },
  });
}

installErrorHandler();

/** Links `runtime` to the host at the other end of `wire`, in both directions. */
export function linkPeer(runtime: HostRuntime, peer: HostId, wire: Wire): void {
  const link = runtime.attach(peer, wrapPeer(wire));
  Comlink.expose({ deliver: deliverTo(runtime, link) }, wire);
}

/** A host's end of its wire to main: `HostApi` and `deliver` in one. */
export function exposeHost(wire: Wire, api: HostApi, deliver: Deliver): void {
  Comlink.expose({ ...api, deliver: withTransfer(deliver) }, wire);
}

/** `HostApi` of the host at the other end. A call never settles when that host dies: every caller races its death. */
export function wrapHost(wire: Wire): HostApi {
  const remote = Comlink.wrap<HostApi>(sheltered(wire));
  return {
    start: (init) => remote.start(init),
    connect: (peer, port) => remote.connect(peer, Comlink.transfer(port, [port])),
    join: (peer, line) => remote.join(peer, line),
    disconnect: (peer) => remote.disconnect(peer),
    begin: () => remote.begin(),
    ping: () => remote.ping(),
    drain: (limitMs) => remote.drain(limitMs),
    close: () => remote.close(),
    metrics: () => remote.metrics(),
  };
}

/** The way to deliver to the host at the other end. */
export function wrapPeer(wire: Wire): PeerPort {
  let failure: { error: unknown } | null = null;
  let isClosed = false;
  // Comlink turns a failing post into a rejected promise; we must know at once, to keep the order of what follows.
  const watched: Comlink.Endpoint = {
    ...sheltered(wire),
    postMessage: (message: unknown, transfer?: Transferable[]) => {
      if (isClosed) return;
      try {
        wire.postMessage(message, transfer ?? []);
      } catch (error) {
        failure = { error };
        throw error;
      }
    },
  };
  const remote = Comlink.wrap<{ deliver: (batch: Batch) => readonly AnswerFrame[] | undefined }>(watched);
  // Looked up once: each look-up makes a proxy and registers it for finalization.
  const call = remote.deliver;
  return {
    isNear: false,
    deliver: (batch, transfer) => {
      failure = null;
      const taken = call(transfer.length === 0 ? batch : Comlink.transfer(batch, transfer));
      const failed = failure as { error: unknown } | null;
      if (failed === null) return taken;
      taken.catch(() => {});
      throw failed.error;
    },
    close: () => {
      isClosed = true;
      wire.close?.();
    },
  };
}

/**
 * Comlink posts a farewell when its proxies are collected, at a time nobody chooses and perhaps to a host long dead: what
 * fails then must not surface as an unhandled rejection.
 */
function sheltered(wire: Wire): Comlink.Endpoint {
  const endpoint: Comlink.Endpoint = {
    postMessage: (message: unknown, transfer?: Transferable[]) => {
      try {
        wire.postMessage(message, transfer ?? []);
      } catch (error) {
        if (!isFarewell(message)) throw error;
      }
    },
    addEventListener: (type, listener) => wire.addEventListener(type, listener),
    removeEventListener: (type, listener) => wire.removeEventListener(type, listener),
  };
  if (wire.start !== undefined) endpoint.start = () => wire.start?.();
  return endpoint;
}

const isFarewell = (message: unknown): boolean =>
  typeof message === "object" && message !== null && "type" in message && message.type === "RELEASE";

const deliverTo = (runtime: HostRuntime, link: PeerLink) => withTransfer((batch) => runtime.take(link, batch));

const withTransfer =
  (deliver: Deliver) =>
  (batch: unknown): readonly AnswerFrame[] | undefined => {
    const { answers, transfers } = deliver(batch);
    if (answers === undefined || transfers.length === 0) return answers;
    return Comlink.transfer(answers, [...new Set(transfers)]);
  };
