/** One thing readiness depends on. */
export interface HealthCheck {
  name: string;
  ok: boolean;
  /** What is wrong, for the operator; null when nothing is. */
  reason: string | null;
}

/** The truth about this node, worst news included. */
export interface HealthReport {
  ready: boolean;
  checks: readonly HealthCheck[];
}

/** Where `/health/ready` gets its answer; never rejects, always within a deadline of its own. */
export interface HealthSource {
  report(): Promise<HealthReport>;
}

/** How something went of late. */
export interface RecentCalls {
  windowMs: number;
  calls: number;
  failures: number;
}

/** Readiness, and whether what should work has been working. */
export interface DeepReport extends HealthReport {
  requests: RecentCalls;
  /** `latencyMs` is of calls that it was not asked to hold; null when there were none. */
  homeserver: RecentCalls & { latencyMs: { p50: number; p95: number; max: number } | null };
}
