import type { ConnectionView } from "#src/admin/api.ts";
import type { Clock } from "#src/ports/basics.ts";
import type { Awake } from "./awake.ts";
import type { CurrentRequest } from "./current-request.ts";

/** What a connection says of itself, but for its host. */
export type ConnectionDescription = Omit<ConnectionView, "host">;

/** Describes a connection for operators; `lastRequestMs` is on the clock that never goes back. */
export function describeConnection(
  who: Pick<ConnectionDescription, "userId" | "deviceId" | "connId" | "dialect">,
  { current, awake, lastRequestMs }: { current: CurrentRequest | null; awake: Awake | null; lastRequestMs: number },
  clock: Clock,
): ConnectionDescription {
  const nowMs = clock.mono();
  return {
    ...who,
    state: current?.phase ?? "idle",
    lastRequestAtMs: Math.round(clock.now() - (nowMs - lastRequestMs)),
    requestAgeMs: current === null ? null : Math.round(current.ageMs(nowMs)),
    responses: (awake?.log.nextSeq ?? 1) - 1,
    lists: (awake?.engine.lists() ?? []).map(({ key, count }) => ({ key, rooms: count })),
  };
}
