import { EventsMemo } from "#src/homeserver/events-memo.ts";
import type { ActorKind } from "#actors/runtime/actor.ts";
import type { PollerMessage } from "./messages.ts";
import { PollerActor } from "./poller-actor.ts";
import type { PollerDeps } from "./poller-deps.ts";

/** Messages of others; a poller's own events are not held to it. */
const MAILBOX_LIMIT = 1024;

/** Pollers, one for each device, as a poller host runs them. */
export function createPollerKind(deps: PollerDeps): ActorKind<PollerMessage> {
  const memo = new EventsMemo();
  return {
    factory: (context) => new PollerActor(context, deps, memo),
    mailboxLimit: MAILBOX_LIMIT,
    onCrash: "restart",
    isForAwake: ({ type }) => type === "poll-now" || type === "token-unused" || type === "pause-changed",
  };
}
