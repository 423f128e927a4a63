import { SyncError } from "#src/errors.ts";
import type { HostView } from "#src/admin/api.ts";
import type { Metrics } from "#src/ports/basics.ts";
import type { Actor, ActorContext, ActorKind, Reply } from "#actors/runtime/actor.ts";
import type { HostId } from "#actors/runtime/placement.ts";
import { backoff, HOST_BACKOFF, RestartBudget } from "#actors/runtime/restart.ts";
import type { SupervisorMessage } from "./messages.ts";

/** What the supervisor can do to hosts; every promise ends, at the latest by the death of the host or a deadline. */
export interface HostControl {
  /** Starts, wires and begins one host; the first life of all hosts is begun by `beginAll`. */
  launch(host: HostId, incarnation: number): Promise<void>;
  beginAll(): Promise<void>;
  begin(host: HostId): Promise<void>;
  ping(host: HostId): Promise<unknown>;
  /** Declares the host dead; `host-died` follows when it is gone. */
  kill(host: HostId, reason: string): void;
}

export interface SupervisorDeps {
  control: HostControl;
  /** In the order in which they start. */
  hosts: readonly HostId[];
  metrics: Metrics;
  /** Nothing above can help: the process ends with a failure, and what runs it starts it again. */
  onEscalate: (reason: string) => void;
}

/** Often enough to notice within a minute, seldom enough to cost nothing. */
const HEARTBEAT_INTERVAL_MS = 10_000;
/** A turn may hold a host up to 30 s without being a hang; then it counts as dead. */
const HEARTBEAT_LIMIT_MS = 40_000;
/** A host that dies a sixth time within a minute will not heal by itself. */
const HOST_RESTART_BUDGET = { intensity: 5, periodMs: 60_000 };

interface Child {
  incarnation: number;
  isUp: boolean;
  /** Deaths in a row, for the backoff. */
  attempt: number;
  diedAtMs: number;
  budget: RestartBudget;
  /** When the unanswered ping was sent. */
  pingedAtMs: number | null;
  restarts: number;
  /** The rest is for operators: dates, but for the time a ping took. */
  upSinceAtMs: number | null;
  lastDeath: { atMs: number; reason: string } | null;
  pongedAtMs: number | null;
  heartbeatMs: number | null;
}

/** What the supervisor says of one host. */
export type ChildDescription = Omit<HostView, "vitals">;

/** one_for_one for the hosts of a node: brings back what dies, slower each time, and gives up when the budget is spent. */
class SupervisorActor implements Actor<SupervisorMessage> {
  readonly #context: ActorContext<SupervisorMessage>;
  readonly #deps: SupervisorDeps;
  readonly #children = new Map<HostId, Child>();
  #launching: Reply<{ ok: true }> | null = null;
  /** Deaths before all hosts were up: then the launch has failed, and its caller decides. */
  #diedEarly: string | null = null;
  #isShuttingDown = false;
  #hasEscalated = false;
  #lastTickMs = 0;
  /** Hosts may be silent for so long. */
  #stalledUntilMs = 0;

  constructor(context: ActorContext<SupervisorMessage>, deps: SupervisorDeps) {
    this.#context = context;
    this.#deps = deps;
    for (const host of deps.hosts) {
      const budget = new RestartBudget(HOST_RESTART_BUDGET, () => context.clock.mono());
      this.#children.set(host, { ...newChild(), budget });
    }
  }

  receive(message: SupervisorMessage): void {
    switch (message.type) {
      case "launch-hosts":
        this.#launching = message.reply;
        this.#context.pipe(
          this.#launchAll(),
          () => ({ type: "hosts-launched" }),
          (error) => ({ type: "launch-failed", error }),
        );
        return;
      case "hosts-launched":
        if (this.#diedEarly === null) this.#launched();
        else this.#launchFailed("internal", this.#diedEarly);
        return;
      case "launch-failed":
        // Whoever started us has to know whether trying again may help.
        this.#launchFailed(
          message.error.code === "unusable_setup" ? "unusable_setup" : "internal",
          reasonOf(message.error),
        );
        return;
      case "begin-shutdown":
        this.#isShuttingDown = true;
        return;
      case "stall-begun":
        this.#stalledUntilMs = this.#context.clock.mono() + message.atMostMs;
        return;
      case "stall-ended":
        this.#forgiveSilence(this.#context.clock.mono());
        this.#stalledUntilMs = 0;
        return;
      case "host-escalated":
        if (this.#isCurrent(message)) this.#deps.control.kill(message.host, message.reason);
        return;
      case "host-died":
        this.#died(message.host, message.incarnation, message.reason);
        return;
      case "host-unkillable":
        this.#escalate(`host ${message.host} cannot be stopped`);
        return;
      case "restart-due":
        this.#restart(message.host);
        return;
      case "host-restarted":
        this.#restarted(message.host, message.incarnation);
        return;
      case "restart-failed":
        this.#context.log.error({ actor_host: message.host, error: message.error }, "host could not be started");
        this.#died(message.host, message.incarnation, "could not be started");
        return;
      case "heartbeat-due":
        this.#beat();
        return;
      case "host-ponged":
        this.#ponged(message.host, message.incarnation);
        return;
      case "ping-lost":
        // Its death is reported by itself.
        return;
    }
  }

  describe(): { hosts: ChildDescription[] } {
    const hosts = [...this.#children].map(([host, child]): ChildDescription => {
      const { isUp, incarnation, restarts, upSinceAtMs, lastDeath, pongedAtMs, heartbeatMs } = child;
      const state = isUp ? "up" : "down";
      return { host, state, incarnation, restarts, upSinceAtMs, lastDeath, lastHeartbeatAtMs: pongedAtMs, heartbeatMs };
    });
    return { hosts };
  }

  async #launchAll(): Promise<void> {
    for (const host of this.#deps.hosts) {
      // Whoever ends the hosts would not know of it.
      if (this.#isShuttingDown) throw new SyncError("actor_stopped", "shutdown");
      await this.#deps.control.launch(host, 1);
    }
    await this.#deps.control.beginAll();
  }

  #launched(): void {
    for (const child of this.#children.values()) this.#isUpNow(child);
    this.#launching?.resolve({ ok: true });
    this.#launching = null;
    this.#lastTickMs = this.#context.clock.mono();
    this.#context.after(HEARTBEAT_INTERVAL_MS, { type: "heartbeat-due" });
  }

  #launchFailed(code: "internal" | "unusable_setup", error: string): void {
    this.#launching?.reject(new SyncError(code, `a host could not be started: ${error}`));
    this.#launching = null;
    this.#isShuttingDown = true;
  }

  #isUpNow(child: Child): void {
    child.isUp = true;
    child.upSinceAtMs = this.#context.clock.now();
  }

  #isCurrent(message: { host: HostId; incarnation: number }): boolean {
    return this.#children.get(message.host)?.incarnation === message.incarnation;
  }

  #died(host: HostId, incarnation: number, reason: string): void {
    const child = this.#children.get(host);
    if (child === undefined || child.incarnation !== incarnation) return;
    child.isUp = false;
    child.pingedAtMs = null;
    child.incarnation += 1;
    child.upSinceAtMs = null;
    child.lastDeath = { atMs: this.#context.clock.now(), reason };
    // During the launch its failure is the launch's failure; during the shutdown an end is what is wanted.
    if (this.#launching !== null) this.#diedEarly = `host ${host} died: ${reason}`;
    if (this.#launching !== null || this.#isShuttingDown) return;
    this.#deps.metrics.count("actor_restarts_total", 1, { kind: "host" });
    child.restarts += 1;
    const now = this.#context.clock.mono();
    child.attempt = now - child.diedAtMs < HOST_RESTART_BUDGET.periodMs ? child.attempt + 1 : 1;
    child.diedAtMs = now;
    if (!child.budget.spend()) {
      this.#escalate(`restart budget of host ${host} spent, it last died of: ${reason}`);
      return;
    }
    const delayMs = backoff(HOST_BACKOFF, child.attempt, this.#context.rng);
    this.#context.log.warn(
      { actor_host: host, reason, attempt: child.attempt, delay_ms: delayMs },
      "host died, restarting it",
    );
    this.#context.after(delayMs, { type: "restart-due", host });
  }

  #restart(host: HostId): void {
    const child = this.#children.get(host);
    if (child === undefined || child.isUp || this.#isShuttingDown) return;
    const { incarnation } = child;
    const { control } = this.#deps;
    this.#context.pipe(
      control.launch(host, incarnation).then(() => control.begin(host)),
      () => ({ type: "host-restarted", host, incarnation }),
      (error) => ({ type: "restart-failed", host, incarnation, error: reasonOf(error) }),
    );
  }

  #restarted(host: HostId, incarnation: number): void {
    const child = this.#children.get(host);
    if (child === undefined || child.incarnation !== incarnation) return;
    this.#isUpNow(child);
    this.#context.log.info({ actor_host: host, incarnation }, "host restarted");
  }

  #beat(): void {
    if (this.#isShuttingDown) return;
    const now = this.#context.clock.mono();
    // Time in which main itself stood still (a suspended machine, a long turn) is not held against the hosts.
    const stalledMs = Math.max(0, now - this.#lastTickMs - HEARTBEAT_INTERVAL_MS);
    this.#lastTickMs = now;
    if (now < this.#stalledUntilMs) this.#forgiveSilence(now);
    for (const [host, child] of this.#children) {
      if (!child.isUp) continue;
      if (child.pingedAtMs === null) this.#ping(host, child, now);
      else {
        child.pingedAtMs += stalledMs;
        if (now - child.pingedAtMs >= HEARTBEAT_LIMIT_MS) this.#deps.control.kill(host, "no heartbeat");
      }
    }
    this.#context.after(HEARTBEAT_INTERVAL_MS, { type: "heartbeat-due" });
  }

  /** Pings that nobody has answered count from now on. */
  #forgiveSilence(now: number): void {
    for (const child of this.#children.values()) if (child.pingedAtMs !== null) child.pingedAtMs = now;
  }

  #ping(host: HostId, child: Child, now: number): void {
    child.pingedAtMs = now;
    const { incarnation } = child;
    this.#context.pipe(
      this.#deps.control.ping(host),
      () => ({ type: "host-ponged", host, incarnation }),
      () => ({ type: "ping-lost" }),
    );
  }

  #ponged(host: HostId, incarnation: number): void {
    const child = this.#children.get(host);
    if (child?.incarnation !== incarnation) return;
    if (child.pingedAtMs !== null) child.heartbeatMs = Math.round(this.#context.clock.mono() - child.pingedAtMs);
    child.pingedAtMs = null;
    child.pongedAtMs = this.#context.clock.now();
  }

  #escalate(reason: string): void {
    if (this.#hasEscalated) return;
    this.#hasEscalated = true;
    this.#context.log.error({ reason }, "supervisor gives up");
    this.#deps.onEscalate(reason);
  }
}

const newChild = (): Omit<Child, "budget"> => ({
  incarnation: 1,
  isUp: false,
  attempt: 0,
  diedAtMs: 0,
  pingedAtMs: null,
  restarts: 0,
  upSinceAtMs: null,
  lastDeath: null,
  pongedAtMs: null,
  heartbeatMs: null,
});

const reasonOf = (error: SyncError): string =>
  error.cause instanceof Error ? `${error.message}: ${error.cause.message}` : error.message;

/** The node's supervisor; lives in main. */
export function supervisorKind(deps: SupervisorDeps): ActorKind<SupervisorMessage> {
  return {
    factory: (context) => new SupervisorActor(context, deps),
    mailboxLimit: "unbounded",
    onCrash: "restart",
    // Its state is the life of the hosts: one crash, and nobody knows what runs.
    restartBudget: { intensity: 0, periodMs: 60_000 },
  };
}
