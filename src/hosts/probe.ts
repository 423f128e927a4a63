import { invariant, type SyncError } from "#src/errors.ts";
import type { ActorKind, Address, Asked } from "#actors/runtime/actor.ts";
import type { HostId } from "#actors/runtime/placement.ts";

/** What a host answers when it is probed. */
export interface ProbeAnswer {
  host: HostId;
  /** Hosts the question passed on its way here, the first asked first. */
  via: readonly HostId[];
}

/** The interface of the probe, an actor every host has, so that a host can be tried out without its real work. */
export type ProbeMessage =
  /** Goes to the last host of `route` through all the others, then back. */
  | Asked<{ type: "probe-route"; route: readonly HostId[]; via: readonly HostId[] }, ProbeAnswer>
  /** Throws inside a turn: costs this actor, not its host. */
  | { type: "fail-turn" }
  /** Throws outside of any turn: costs the host. */
  | { type: "fail-host" };

const PROBE_DEADLINE_MS = 10_000;
const PROBE_MAILBOX_LIMIT = 1000;

/** Where the probe of a host is. */
export const probeAddress = (host: HostId): Address => ({ kind: "probe", key: "", shard: host });

/** The probe of `host`. */
export function probeKind(host: HostId): ActorKind<ProbeMessage> {
  return {
    mailboxLimit: PROBE_MAILBOX_LIMIT,
    onCrash: "stop",
    factory: (context) => ({
      receive(message) {
        switch (message.type) {
          case "probe-route": {
            const [next, ...rest] = message.route;
            const via = [...message.via, host];
            if (next === undefined) {
              message.reply.resolve({ host, via: message.via });
              return;
            }
            const question: Omit<Extract<ProbeMessage, { type: "probe-route" }>, "reply"> = {
              type: "probe-route",
              route: rest,
              via,
            };
            context.ask<ProbeAnswer>(probeAddress(next), question, { deadlineMs: PROBE_DEADLINE_MS }).then(
              (answer) => message.reply.resolve(answer),
              (error: SyncError) => message.reply.reject(error),
            );
            return;
          }
          case "fail-turn":
            invariant(false, "a probed turn fails");
            return;
          case "fail-host":
            queueMicrotask(() => invariant(false, "a probed host dies"));
        }
      },
    }),
  };
}
