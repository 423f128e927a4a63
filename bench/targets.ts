/** One figure of one workload as the table shows it. */
export type Target = {
  readonly workload: string;
  readonly figure: string;
  readonly label: string;
  readonly unit: string;
  /** Null: shown because it explains the others, without a target of its own. */
  readonly target: number | null;
  /** Rates must be at least, all others at most, their target. */
  readonly isRate: boolean;
};

function atMost(workload: string, figure: string, label: string, unit: string, target: number): Target {
  return { workload, figure, label, unit, target, isRate: false };
}

function atLeast(workload: string, figure: string, label: string, unit: string, target: number): Target {
  return { workload, figure, label, unit, target, isRate: true };
}

function shown(workload: string, figure: string, label: string, unit: string): Target {
  return { workload, figure, label, unit, target: null, isRate: false };
}

/** Everything the table shows, in its order. */
export const TARGETS: readonly Target[] = [
  atMost("login", "first_answer_ms", "first answer of a new account", "ms", 2000),
  atMost("login", "cpu_ms", "CPU of the server for it", "ms", 2000),
  atMost("login", "new_connection_ms", "new connection, median", "ms", 6),
  atLeast("login", "first_answers_per_s", "first answers, 8 clients", "/s", 600),
  atMost("login", "database_mb", "database", "MB", 52),
  shown("login", "resident_mb", "resident memory after it", "MB"),
  atMost("scroll", "step_ms", "window step of 100, median", "ms", 20),
  shown("scroll", "step_p90_ms", "window step, p90", "ms"),
  ...(["calm", "live"] as const).flatMap((name) => [
    atMost(name, "p50_ms", "send to client, p50", "ms", name === "calm" ? 5 : 8),
    atMost(name, "p99_ms", "send to client, p99", "ms", name === "calm" ? 20 : 40),
    atMost(name, "lost", "lost", "", 0),
    atMost(name, "doubled", "doubled", "", 0),
    name === "live"
      ? atMost(name, "cpu_per_delivery_ms", "CPU for one delivery", "ms", 0.3)
      : shown(name, "cpu_per_delivery_ms", "CPU for one delivery", "ms"),
    shown(name, "client_cpu_per_delivery_ms", "CPU of the load generator for it", "ms"),
    shown(name, "start_over", "connections started over", ""),
  ]),
  atLeast("flood", "deliveries_per_s", "deliveries", "/s", 3400),
  atMost("flood", "cpu_per_delivery_ms", "CPU for one delivery", "ms", 0.25),
  atMost("flood", "lost", "lost", "", 0),
  atMost("flood", "doubled", "doubled", "", 0),
  shown("flood", "p50_ms", "send to client, p50", "ms"),
  shown("flood", "client_cpu_per_delivery_ms", "CPU of the load generator for it", "ms"),
  shown("flood", "upstream_cpu_per_delivery_ms", "CPU of the made-up homeserver for it", "ms"),
  atMost("fanin", "all_ms", "until all 80 have all 600", "ms", 1000),
  atMost("fanin", "lost", "lost", "", 0),
  atMost("fanin", "doubled", "doubled", "", 0),
  shown("fanin", "cpu_per_delivery_ms", "CPU for one delivery", "ms"),
  atMost("idle", "cpu_ms_per_s", "CPU", "ms/s", 2),
  atMost("idle", "resident_mb", "resident memory", "MB", 220),
  shown("idle", "resident_at_start_mb", "resident memory before anybody came", "MB"),
  shown("idle", "ready_ms", "first start until ready", "ms"),
  atMost("many", "connect_s", "all connected, 50 at a time", "s", 10),
  atMost("many", "device_kb", "resident memory for one device", "KB", 60),
  atMost("many", "idle_cpu_ms_per_s", "idle CPU", "ms/s", 8),
  atMost("many", "p50_ms", "send to client, p50", "ms", 6),
  atMost("many", "p99_ms", "send to client, p99", "ms", 30),
  atMost("many", "lost", "lost", "", 0),
  atMost("many", "doubled", "doubled", "", 0),
  shown("many", "resident_mb", "resident memory", "MB"),
  atMost("restart", "ready_ms", "until ready", "ms", 500),
  atMost("restart", "served_ms", "until all 60 are served", "ms", 1000),
  atMost("restart", "start_over", "connections started over", "", 0),
  atMost("restart", "lost", "lost", "", 0),
  atMost("restart", "doubled", "doubled", "", 0),
  shown("restart", "caught_up_ms", "until all have all 200 events", "ms"),
  shown("restart", "stop_ms", "SIGTERM until ended", "ms"),
  atMost("churn", "all_ms", "until the client has all 400", "ms", 1000),
  atMost("churn", "cpu_ms", "CPU", "ms", 800),
  atMost("churn", "database_growth_mb", "database growth", "MB", 1),
  atMost("churn", "lost", "lost", "", 0),
  atMost("churn", "doubled", "doubled", "", 0),
];

/** True when a measured value keeps its target; figures without one always do. */
export function isKept({ target, isRate }: Target, value: number): boolean {
  if (target === null) return true;
  return isRate ? value >= target : value <= target;
}
