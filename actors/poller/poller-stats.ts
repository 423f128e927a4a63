import type { PollerState } from "#src/admin/api.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import type { Metrics } from "#src/ports/basics.ts";

const LIMITED = { limited: "limited" };
const UNLIMITED = { limited: "unlimited" };

/** Why a poll brought nothing, as told in a label. */
export type FailedPoll = "auth" | "refused" | "transient" | "unreadable" | "storage";

/** The others last no time worth telling. */
const STATES_TOLD = ["queued", "polling", "storing", "waiting", "paused"] as const;

/** What the pollers of one host count together. */
export class PollerStats {
  readonly #metrics: Metrics;
  #pollers = 0;
  #requests = 0;
  #waitingDevices = 0;
  readonly #states: Record<PollerState, number> = {
    loading: 0,
    queued: 0,
    polling: 0,
    storing: 0,
    waiting: 0,
    paused: 0,
    stopped: 0,
  };

  constructor(metrics: Metrics) {
    this.#metrics = metrics;
    metrics.gauge("sliding_sync_poller_num_pollers", () => this.#pollers);
    for (const state of STATES_TOLD) metrics.gauge("sliding_sync_poller_states", () => this.#states[state], { state });
    metrics.gauge("sliding_sync_poller_num_outstanding_sync_v2_reqs", () => this.#requests);
    metrics.gauge("sliding_sync_api_num_devices_pending_ensure_polling", () => this.#waitingDevices);
  }

  /** Null before the first and after the last. */
  phaseChanged(from: PollerState | null, to: PollerState | null): void {
    if (from !== null) this.#states[from] -= 1;
    if (to !== null) this.#states[to] += 1;
  }

  get pollers(): number {
    return this.#pollers;
  }

  get requests(): number {
    return this.#requests;
  }

  pollerStarted(): void {
    this.#pollers++;
  }

  pollerStopped(): void {
    this.#pollers--;
  }

  requestStarted(): void {
    this.#requests++;
  }

  requestEnded(): void {
    this.#requests--;
  }

  /** Requests wait for the first sync of a device. */
  deviceWaits(): void {
    this.#waitingDevices++;
  }

  deviceWaitsNoMore(): void {
    this.#waitingDevices--;
  }

  pollFailed(cause: FailedPoll): void {
    this.#metrics.count("sliding_sync_poller_failed_polls_total", 1, { cause });
  }

  /** Counts what one batch holds. */
  batchRead(batch: PollBatch, rejectedCount: number): void {
    for (const room of batch.rooms) {
      if (room.kind !== "join" && room.kind !== "leave") continue;
      this.#metrics.observe(
        "sliding_sync_poller_timeline_size",
        room.timeline.length,
        room.limited ? LIMITED : UNLIMITED,
      );
      if (room.limited) this.#metrics.observe("sliding_sync_poller_gappy_state_size", room.state.length);
    }
    if (rejectedCount > 0) this.#metrics.count("sliding_sync_poller_rejected_total", rejectedCount);
  }

  /** A whole poll is stored and applied. */
  pollStored(tookMs: number, isInitial: boolean, isFirst: boolean): void {
    this.#metrics.count("sliding_sync_poller_total_num_polls");
    this.#metrics.observe("sliding_sync_poller_process_duration_secs", tookMs / 1000, {
      initial: isInitial ? "1" : "0",
      first: isFirst ? "1" : "0",
    });
  }
}
