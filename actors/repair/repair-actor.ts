import type { Cancel } from "#src/ports/basics.ts";
import type { RepairReader, RepairRequest } from "#src/ports/repair.ts";
import type { RoomId, UserId } from "#src/protocol/ids.ts";
import type { Actor, ActorContext, ActorKind } from "#actors/runtime/actor.ts";
import { ACTOR_BACKOFF, backoff } from "#actors/runtime/restart.ts";
import type { Outcome, RepairDeps } from "./compare-room.ts";
import { compareRoom } from "./compare-room.ts";
import type { RepairEvent, RepairMessage } from "./messages.ts";
import { RepairQueue, type RoomTask } from "./repair-queue.ts";
import { listRooms, RequestProgress } from "./request-progress.ts";
import { ACTIVE_WITHIN_MS, stepMs, walkUser, type Walked } from "./walk.ts";

/** Rooms compared at once: the state of a large room is work for a homeserver. */
const AT_ONCE = 2;
/** From one start to the next: somebody waits for what was asked for. */
const FORCED_PACE_MS = 200;
const PACE_MS = 1000;
/** What looks wrong is often put right by the next poll. */
const SETTLE_MS = 3000;
/** A room that cannot be read is given up after so many attempts; a suspicion comes up again. */
const MAX_ATTEMPTS = 6;
const RETRY_MAX_MS = 5 * 60_000;
/** How soon the request of an operator is seen where the database tells nobody of it, and after a failure. */
const LOOK_MS = 5000;
/** After a start, pollers come first. */
const FIRST_WALK_MS = 60_000;

/**
 * Compares what we hold with the homeserver: rooms that look wrong, what operators ask for, and by and by the rooms of every
 * active user. Gentle: a few at once, paced, and silent for as long as the homeserver asks for.
 */
class RepairActor implements Actor<RepairMessage> {
  readonly #context: ActorContext<RepairMessage>;
  readonly #deps: RepairDeps;
  readonly #queue = new RepairQueue();
  #running = 0;
  #pausedUntilMs = 0;
  #nextStartMs = 0;
  #cancelGoOn: Cancel | null = null;
  #walkedUser = "";
  #current: RequestProgress | null = null;
  #saving: Promise<void> = Promise.resolve();
  /** The database tells of requests; otherwise they are looked for. */
  #isTold = false;

  constructor(context: ActorContext<RepairMessage>, deps: RepairDeps) {
    this.#context = context;
    this.#deps = deps;
    deps.metrics.gauge("repair_waiting_rooms", () => this.#queue.size);
    context.after(FIRST_WALK_MS, { type: "walk" });
    this.#watch();
  }

  receive(message: RepairMessage): void {
    switch (message.type) {
      case "suspect-rooms":
        for (const { roomId, userId, reason } of message.rooms) this.#suspect(roomId, userId, reason);
        break;
      case "room-compared":
        this.#compared(message.task, message.outcome);
        break;
      case "go-on":
        this.#cancelGoOn = null;
        break;
      case "walk":
        this.#chooseUser();
        // What was said while the database was away nobody heard.
        if (this.#current === null) this.#look();
        return;
      case "user-chosen":
        this.#walk(message.reader, message.userCount);
        return;
      case "user-walked":
        this.#walked(message.walked);
        break;
      case "watch":
        this.#watch();
        return;
      case "watched":
        this.#isTold = message.isTold;
        this.#look();
        return;
      case "look-for-requests":
        // Behind the one under way the next one is looked for anyway.
        if (this.#current === null) this.#look();
        return;
      case "request-found":
        this.#take(message.request);
        return;
      case "request-listed":
        this.#listed(message.request, message.rooms);
        break;
      case "request-saved":
        if (message.isEnded) this.#look();
        else this.#list();
        return;
      case "step-failed":
        this.#failed(message);
        return;
    }
    this.#pump();
  }

  // ------------------------------------------------------------ rooms

  #suspect(roomId: RoomId, userId: UserId | null, reason: string): void {
    const nowMs = this.#context.clock.mono();
    const isTaken = this.#queue.add(
      { roomId, userId, reason, isForced: false, request: null, attempts: 0, notBeforeMs: nowMs + SETTLE_MS },
      nowMs,
    );
    this.#deps.metrics.count("repair_suspicions_total", 1, { reason, taken: String(isTaken) });
  }

  #pump(): void {
    const nowMs = this.#context.clock.mono();
    while (this.#running < AT_ONCE && nowMs >= Math.max(this.#pausedUntilMs, this.#nextStartMs)) {
      const task = this.#queue.take(nowMs);
      if (task === null) break;
      this.#nextStartMs = nowMs + (task.isForced ? FORCED_PACE_MS : PACE_MS);
      this.#start(task);
    }
    this.#cancelGoOn?.();
    this.#cancelGoOn = null;
    const nextMs = this.#queue.nextMs();
    // The end of a room that is under way comes here as well.
    if (nextMs === null || this.#running >= AT_ONCE) return;
    const delayMs = Math.max(nextMs, this.#pausedUntilMs, this.#nextStartMs) - nowMs;
    this.#cancelGoOn = this.#context.after(Math.max(delayMs, 1), { type: "go-on" });
  }

  #start(task: RoomTask): void {
    this.#running++;
    this.#context.pipe(
      compareRoom({ ...this.#deps, actors: this.#context }, task),
      (outcome) => ({ type: "room-compared", task, outcome }),
      (error) => ({
        type: "room-compared",
        task,
        outcome: { kind: "later", reason: error.code, retryAfterMs: 0 },
      }),
    );
  }

  #compared(task: RoomTask, outcome: Outcome): void {
    this.#running--;
    const { roomId, reason } = task;
    const attempts = task.attempts + 1;
    const nowMs = this.#context.clock.mono();
    if (outcome.kind === "later" && attempts < MAX_ATTEMPTS) {
      // Asked for patience, it is left in peace altogether.
      if (outcome.retryAfterMs > 0) this.#pausedUntilMs = Math.max(this.#pausedUntilMs, nowMs + outcome.retryAfterMs);
      const delayMs = Math.min(RETRY_MAX_MS, backoff(ACTOR_BACKOFF, attempts + 1, this.#context.rng));
      const notBeforeMs = nowMs + Math.max(delayMs, outcome.retryAfterMs);
      // The attempt that failed is no reason to wait for the end of the cool-down.
      this.#queue.addAgain({ ...task, attempts, notBeforeMs });
      this.#deps.metrics.count("repair_rooms_total", 1, { outcome: "later" });
      return;
    }
    const hasFailed = outcome.kind !== "compared" && outcome.kind !== "gone";
    const why = outcome.kind === "later" || outcome.kind === "refused" ? outcome.reason : null;
    this.#deps.metrics.count("repair_rooms_total", 1, { outcome: outcome.kind === "later" ? "failed" : outcome.kind });
    const line = {
      room_id: roomId,
      reason,
      outcome: outcome.kind,
      ...(why === null ? {} : { failure: why }),
      attempts,
    };
    if (hasFailed) this.#context.log.warn(line, "room not compared with the homeserver");
    else this.#context.log.info(line, "room compared with the homeserver");
    const { request } = task;
    if (request === null || this.#current?.request.id !== request.id) return;
    this.#current.roomDone(request.nid, hasFailed);
    this.#save(false);
  }

  // ------------------------------------------------------------ the walk over users

  #chooseUser(): void {
    const { store } = this.#deps;
    const sinceMs = this.#context.clock.now() - ACTIVE_WITHIN_MS;
    const choose = async (): Promise<{ reader: RepairReader | null; userCount: number }> => {
      const reader = (await store.nextUser(this.#walkedUser, sinceMs)) ?? (await store.nextUser("", sinceMs));
      return { reader, userCount: reader === null ? 0 : await store.countUsers(sinceMs) };
    };
    this.#pipeStep("walk", choose(), ({ reader, userCount }) => ({ type: "user-chosen", reader, userCount }));
  }

  #walk(reader: RepairReader | null, userCount: number): void {
    this.#context.after(stepMs(userCount), { type: "walk" });
    if (reader === null || this.#context.clock.mono() < this.#pausedUntilMs) return;
    this.#walkedUser = reader.userId;
    const walking = walkUser({ ...this.#deps, actors: this.#context }, reader);
    const nothing: Walked = { userId: reader.userId, onlyOurs: [], onlyTheirs: [], retryAfterMs: 0 };
    this.#context.pipe(
      walking,
      (walked) => ({ type: "user-walked", walked }),
      () => ({ type: "user-walked", walked: nothing }),
    );
  }

  #walked({ userId, onlyOurs, onlyTheirs, retryAfterMs }: Walked): void {
    const { metrics } = this.#deps;
    metrics.count("repair_walked_users_total");
    for (const roomId of onlyOurs) this.#suspect(roomId, userId, "not-joined");
    for (const roomId of onlyTheirs) this.#suspect(roomId, userId, "joined-elsewhere");
    if (retryAfterMs > 0) this.#pausedUntilMs = this.#context.clock.mono() + retryAfterMs;
  }

  // ------------------------------------------------------------ requests of operators

  /** An idle server asks nothing: whoever asks has the database say so. */
  #watch(): void {
    const context = this.#context;
    const watching = this.#deps.store.watch(() => context.tell(context.self, { type: "look-for-requests" }));
    this.#pipeStep("watch", watching, (isTold) => ({ type: "watched", isTold }));
  }

  #look(): void {
    this.#pipeStep("request", this.#deps.store.nextRequest(), (request) => ({ type: "request-found", request }));
  }

  #take(request: RepairRequest | null): void {
    if (request === null) {
      if (!this.#isTold) this.#context.after(LOOK_MS, { type: "look-for-requests" });
      return;
    }
    const { id, kind, target } = request;
    if (this.#current?.request.id !== id) {
      this.#context.log.info({ request_id: id, kind, target }, "repair asked for");
    }
    this.#current = new RequestProgress(request);
    this.#list();
  }

  #list(): void {
    const current = this.#current;
    if (current === null || !current.isPageDone) return;
    this.#pipeStep("request", listRooms(this.#deps, this.#context, current.request), ({ rooms, request }) => ({
      type: "request-listed",
      rooms,
      request,
    }));
  }

  #listed(request: RepairRequest, rooms: RequestedRooms): void {
    const current = this.#current;
    if (current === null || current.request.id !== request.id) return;
    current.begin(request, rooms);
    const nowMs = this.#context.clock.mono();
    const userId = request.kind === "user" ? (request.target as UserId) : null;
    for (const { nid, roomId } of rooms) {
      const asked = { id: request.id, nid };
      this.#queue.add(
        { roomId, userId, reason: "asked-for", isForced: true, request: asked, attempts: 0, notBeforeMs: nowMs },
        nowMs,
      );
    }
    this.#save(rooms.length === 0);
  }

  /** Each room that is done is told; where to go on after a restart moves page by page. */
  #save(isEnded: boolean): void {
    const current = this.#current;
    if (current === null) return;
    const { request, isPageDone } = current;
    const endedMs = isEnded ? this.#context.clock.now() : null;
    if (isEnded) {
      this.#current = null;
      this.#context.log.info({ request_id: request.id, done: request.done, failed: request.failed }, "repair done");
    }
    // One after another: of two at once the older one might be written last.
    const saved = this.#saving.then(() => this.#deps.store.saveRequest(request, endedMs));
    this.#saving = saved.catch(() => undefined);
    if (isEnded || isPageDone) this.#pipeStep("request", saved, () => ({ type: "request-saved", isEnded }));
  }

  #failed({ step, error }: Extract<RepairEvent, { type: "step-failed" }>): void {
    this.#context.log.debug({ step, code: error.code }, "repair step failed");
    if (step === "walk") {
      this.#context.after(FIRST_WALK_MS, { type: "walk" });
      return;
    }
    if (step === "watch") {
      this.#context.after(LOOK_MS, { type: "watch" });
      return;
    }
    // It is found again, and goes on behind the rooms that were saved as done.
    this.#current = null;
    this.#context.after(LOOK_MS, { type: "look-for-requests" });
  }

  #pipeStep<T>(step: "walk" | "request" | "watch", work: Promise<T>, then: (value: T) => RepairEvent): void {
    this.#context.pipe(work, then, (error) => ({ type: "step-failed", step, error }));
  }
}

type RequestedRooms = Extract<RepairEvent, { type: "request-listed" }>["rooms"];

/** How a host runs the repairs of its node. */
export function repairKind(deps: RepairDeps): ActorKind<RepairMessage> {
  return {
    factory: (context) => new RepairActor(context, deps),
    mailboxLimit: 10_000,
    onCrash: "restart",
  };
}
