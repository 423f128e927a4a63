import type { Route, RouteContext } from "../router.ts";
import { playResponse, type Script } from "../script.ts";
import type { ServerParts } from "../server-parts.ts";
import { parseToken } from "../stream.ts";
import { resolveFilter, type SyncFilter } from "../sync-filter.ts";
import { buildSync } from "../sync-response.ts";
import { invalidParam, type Json, MatrixError } from "../wire.ts";

/** Longest time a sync is held, whatever the client asks for. */
const MAX_TIMEOUT_MS = 600_000;
/** How long the sync of a puppet is held for the test to queue something, even with `timeout=0`. */
const PUPPET_HOLD_MS = 30_000;

/** Turns of the event loop: the first one at the latest brings the end of a connection that was closed before. */
const TURNS_TO_NOTICE = 3;

const STATE_AFTER_NAMES = {
  stable: { parameter: "use_state_after", key: "state_after" },
  unstable: { parameter: "org.matrix.msc4222.use_state_after", key: "org.matrix.msc4222.state_after" },
};

/** Name of the section MSC4222 puts in place of `state`, where it is offered and asked for. */
function stateAfterKey(parts: ServerParts, query: URLSearchParams): string | null {
  if (parts.stateAfter === "off") return null;
  const { parameter, key } = STATE_AFTER_NAMES[parts.stateAfter];
  return query.get(parameter) === "true" ? key : null;
}

function timeoutOf(query: URLSearchParams): number {
  const timeout = Number(query.get("timeout") ?? 0);
  if (!Number.isFinite(timeout)) throw invalidParam("timeout is not a number");
  return Math.min(Math.max(timeout, 0), MAX_TIMEOUT_MS);
}

function filterOf(context: RouteContext): SyncFilter {
  const filter = resolveFilter(context.query.get("filter"), context.session().account.filters);
  if (filter === null) throw invalidParam("No such filter");
  return filter;
}

/** The honest answer as of now; null when there is nothing to say yet. */
function answerNow(parts: ServerParts, context: RouteContext, mayBeEmpty: boolean): Json | null {
  const { query } = context;
  const session = context.session();
  const since = query.get("since");
  const from = since === null || since === "" ? { pos: 0, toDevice: 0 } : parseToken(since);
  const isFullState = query.get("full_state") === "true";
  const view = {
    session,
    since: from.pos,
    isFullState,
    filter: filterOf(context),
    stateAfterKey: stateAfterKey(parts, query),
    nowMs: parts.clock.now(),
  };
  const { body, hasNews } = buildSync(view, from.toDevice, parts);
  return hasNews || mayBeEmpty || from.pos === 0 || isFullState ? body : null;
}

/** A client that uses a token has what came before it: only now are to-device messages deleted. */
function acknowledge(context: RouteContext): void {
  const since = context.query.get("since");
  if (since === null || since === "") return;
  const { device } = context.session();
  const { toDevice } = parseToken(since);
  device.toDevice = device.toDevice.filter((message) => message.pos > toDevice);
}

/** A poll that was given up for another one would take a queued answer with it: that its client has hung up is heard first. */
async function farewellsHeard(): Promise<void> {
  for (let turn = 0; turn < TURNS_TO_NOTICE; turn += 1) await new Promise((resolve) => setImmediate(resolve));
}

async function sync(parts: ServerParts, script: Script, context: RouteContext): Promise<Response | Json> {
  const { accessToken, account } = context.session();
  const isPuppet = script.isPuppet(account.userId);
  if (!isPuppet) acknowledge(context);
  let deadline = parts.clock.mono() + (isPuppet ? PUPPET_HOLD_MS : timeoutOf(context.query));
  let silentUntil = 0;
  for (;;) {
    // The token may have died while the request was parked.
    context.session();
    const nowMs = parts.clock.mono();
    if (nowMs >= silentUntil) {
      const scripted = script.take(accessToken, account.userId);
      if (scripted?.kind === "silence") {
        silentUntil = nowMs + scripted.forMs;
        deadline = Math.max(deadline, silentUntil);
        continue;
      }
      if (scripted !== undefined) return playResponse(scripted, parts.timers);
      const isLate = nowMs >= deadline;
      if (isPuppet && isLate) return { next_batch: context.query.get("since") ?? "puppet" };
      const answer = isPuppet ? null : answerNow(parts, context, isLate);
      if (answer !== null) return answer;
    }
    const waitMs = Math.max((nowMs < silentUntil ? silentUntil : deadline) - nowMs, 0);
    const end = await parts.stream.wait(account.userId, accessToken, waitMs, context.request.signal);
    if (end === "woken" && script.queuedCount(accessToken, account.userId) > 0) await farewellsHeard();
    if (end === "gone" || context.request.signal.aborted)
      throw new MatrixError(499, "M_UNKNOWN", "Client closed the request");
  }
}

/** `GET /sync`. */
export function syncRoutes(parts: ServerParts, script: Script): Route[] {
  return [{ method: "GET", path: "/sync", handle: (context) => sync(parts, script, context) }];
}
