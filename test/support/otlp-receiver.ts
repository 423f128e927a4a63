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

interface OtlpAttribute {
  key: string;
  value: { stringValue?: string; intValue?: string | number; boolValue?: boolean; doubleValue?: number };
}

interface OtlpBody {
  resourceSpans: {
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
  /** Everything that came over the wire, as text. */
  readonly bodies: string[] = [];
  readonly requests: { path: string; authorization: string | null }[] = [];
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
    this.requests.push({ path: pathname, authorization: request.headers.get("authorization") });
    const text = await request.text();
    this.bodies.push(text);
    for (const { resource, scopeSpans } of (JSON.parse(text) as OtlpBody).resourceSpans) {
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
    return Response.json({});
  }
}
