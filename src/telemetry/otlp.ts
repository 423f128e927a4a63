import { defaultResource, detectResources, envDetector, resourceFromAttributes } from "@opentelemetry/resources";
import type { Resource } from "@opentelemetry/resources";
import type { Timers } from "#src/ports/basics.ts";

/** What can be sent to a receiver. */
export type OtlpSignal = "traces" | "metrics" | "logs";

/** Where telemetry goes, and which; plain data, sent to Workers. */
export interface OtlpTarget {
  /** Base URL of an OTLP/HTTP receiver, without `/v1/traces`; null = the standard `OTEL_*` variables say it. */
  url: string | null;
  username: string | null;
  password: string | null;
  signals: Readonly<Record<OtlpSignal, boolean>>;
  /** How often metrics are sent. */
  metricIntervalMs: number;
}

/** An export that takes longer is given up; what it was to tell is lost, the request it tells of is not. */
const EXPORT_TIMEOUT_MS = 10_000;
/** At the end there is no time for the exporter's retries. */
const FLUSH_DEADLINE_MS = 2_000;

/** How the exporter of one signal reaches the receiver. What is not given here it takes from the environment. */
export function exporterOptions(
  { url, username, password }: OtlpTarget,
  signal: OtlpSignal,
): { url?: string; headers?: Record<string, string>; timeoutMillis?: number } {
  if (url === null) return {};
  const headers = username === null || password === null ? {} : { authorization: basicOf(username, password) };
  return { url: signalUrl(url, signal), headers, timeoutMillis: EXPORT_TIMEOUT_MS };
}

/** `<url>/v1/<signal>`, whether or not the operator wrote the end, of whichever signal. */
export function signalUrl(base: string, signal: OtlpSignal): string {
  const trimmed = base.replace(/\/+$/, "").replace(/\/v1\/(traces|metrics|logs)$/, "");
  return `${trimmed}/v1/${signal}`;
}

const basicOf = (username: string, password: string): string =>
  `Basic ${Buffer.from(`${username}:${password}`, "utf8").toString("base64")}`;

/** Who sends: us, a part of us, and what `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` add. Nothing of the machine. */
export function resourceOf(host: string, version: string): Resource {
  const own = { "service.name": "glissade", "service.version": version, "actor.host": host };
  return defaultResource()
    .merge(resourceFromAttributes(own))
    .merge(detectResources({ detectors: [envDetector] }));
}

/** Ends an exporter, which sends what is buffered: never rejects, and never takes long. Null when all went well. */
export async function endExport(end: () => Promise<void>, timers: Timers): Promise<string | null> {
  const late = Promise.withResolvers<never>();
  const cancel = timers.after(FLUSH_DEADLINE_MS, () => late.reject(new Error("receiver does not answer")));
  try {
    await Promise.race([end(), late.promise]);
    return null;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  } finally {
    cancel();
  }
}
