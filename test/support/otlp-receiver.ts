import { freePort } from "#test/support/ports.ts";

/** A span as an OTLP/HTTP receiver gets it, attributes flattened. */
export interface ReceivedSpan {
  traceId: string;
  spanId: string;
  parentSpanId: string;
  name: string;
  attributes: Record<string, unknown>;
  /** Spans of other traces, or of other branches of this one, that it points at. */
  links: { traceId: string; spanId: string }[];
  startedMs: number;
  endedMs: number;
  resource: Record<string, unknown>;
}

/** A log line as an OTLP/HTTP receiver gets it. */
export interface ReceivedLog {
  level: string;
  message: string;
  traceId: string;
  attributes: Record<string, unknown>;
  resource: Record<string, unknown>;
}

/** A metric as an OTLP/HTTP receiver gets it: its name, and who told of it. */
export interface ReceivedMetric {
  name: string;
  resource: Record<string, unknown>;
}

interface OtlpAttribute {
  key: string;
  value: { stringValue?: string; intValue?: string | number; boolValue?: boolean; doubleValue?: number };
}

interface OtlpBody {
  resourceLogs?: {
    resource: { attributes: OtlpAttribute[] };
    scopeLogs: {
      logRecords: {
        severityText: string;
        body: { stringValue: string };
        traceId?: string;
        attributes: OtlpAttribute[];
      }[];
    }[];
  }[];
  resourceMetrics?: {
    resource: { attributes: OtlpAttribute[] };
    scopeMetrics: { metrics: { name: string }[] }[];
  }[];
  resourceSpans?: {
    resource: { attributes: OtlpAttribute[] };
    scopeSpans: {
      spans: {
        traceId: string;
        spanId: string;
        parentSpanId?: string;
        name: string;
        startTimeUnixNano: string;
        endTimeUnixNano: string;
        attributes: OtlpAttribute[];
        links?: { traceId: string; spanId: string }[];
      }[];
    }[];
  }[];
}

const flatten = (attributes: OtlpAttribute[]): Record<string, unknown> =>
  Object.fromEntries(attributes.map(({ key, value }) => [key, Object.values(value)[0]]));

/** An OTLP/HTTP receiver that keeps what it gets. */
export class OtlpReceiver {
  readonly spans: ReceivedSpan[] = [];
  readonly logs: ReceivedLog[] = [];
  readonly metrics: ReceivedMetric[] = [];
  /** Everything that came over the wire, as text. */
  readonly bodies: string[] = [];
  readonly requests: { path: string; authorization: string | null; headers: Headers }[] = [];
  readonly url: string;
  readonly #server: ReturnType<typeof Bun.serve>;

  private constructor(port: number) {
    this.#server = Bun.serve({ hostname: "127.0.0.1", port, fetch: (request) => this.#receive(request) });
    this.url = `http://127.0.0.1:${port}`;
  }

  static async start(): Promise<OtlpReceiver> {
    return new OtlpReceiver(await freePort());
  }

  async stop(): Promise<void> {
    await this.#server.stop(true);
  }

  async #receive(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    this.requests.push({
      path: pathname,
      authorization: request.headers.get("authorization"),
      headers: request.headers,
    });
    const text = await request.text();
    this.bodies.push(text);
    const body = JSON.parse(text) as OtlpBody;
    this.#takeSpans(body);
    this.#takeLogs(body);
    for (const { resource, scopeMetrics } of body.resourceMetrics ?? []) {
      const told = scopeMetrics.flatMap(({ metrics }) => metrics);
      this.metrics.push(...told.map(({ name }) => ({ name, resource: flatten(resource.attributes) })));
    }
    return Response.json({});
  }

  #takeSpans({ resourceSpans = [] }: OtlpBody): void {
    for (const { resource, scopeSpans } of resourceSpans) {
      for (const span of scopeSpans.flatMap(({ spans }) => spans)) {
        this.spans.push({
          traceId: span.traceId,
          spanId: span.spanId,
          parentSpanId: span.parentSpanId ?? "",
          name: span.name,
          attributes: flatten(span.attributes),
          links: (span.links ?? []).map(({ traceId, spanId }) => ({ traceId, spanId })),
          startedMs: Number(span.startTimeUnixNano) / 1e6,
          endedMs: Number(span.endTimeUnixNano) / 1e6,
          resource: flatten(resource.attributes),
        });
      }
    }
  }

  #takeLogs({ resourceLogs = [] }: OtlpBody): void {
    for (const { resource, scopeLogs } of resourceLogs) {
      for (const line of scopeLogs.flatMap(({ logRecords }) => logRecords)) {
        this.logs.push({
          level: line.severityText,
          message: line.body.stringValue,
          traceId: line.traceId ?? "",
          attributes: flatten(line.attributes),
          resource: flatten(resource.attributes),
        });
      }
    }
  }
}
