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
