import type { Handshake, Origin, Outside, OutsideAnswer, OutsideRequest, OutsideResult } from "#src/doctor/outside.ts";

/** An answer as a doctor sees it; headers may be repeated by an array. */
export function answerOf(
  status: number,
  body: unknown = {},
  headers: Readonly<Record<string, string | readonly string[]>> = {},
): OutsideAnswer {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  return {
    status,
    text,
    headers: new Map(
      Object.entries(headers).map(([name, value]) => [name, typeof value === "string" ? [value] : value]),
    ),
    pieces: [1],
    tookMs: 1,
  };
}

/** The same as the outcome of a question. */
export const answered = (...args: Parameters<typeof answerOf>): OutsideResult => ({
  ok: true,
  answer: answerOf(...args),
});

/** No answer. */
export const unanswered = (reason: string, tookMs = 1): OutsideResult => ({ ok: false, reason, tookMs });

/** Hands that were shaken well, but for what is said otherwise. */
export function handshakeOf(
  protocol: "TLSv1.2" | "TLSv1.3",
  nowMs: number,
  more: { days?: number; nameProblem?: string; trustProblem?: string; alpn?: string | null } = {},
): Handshake {
  const { days = 60, nameProblem = null, trustProblem = null, alpn = "h2" } = more;
  return {
    ok: true,
    protocol,
    alpn,
    certificate: { validToMs: nowMs + days * 86_400_000, nameProblem, trustProblem },
  };
}

/** A world in which every question is answered by a function. */
export class FakeOutside implements Outside {
  addresses: readonly string[] = ["192.0.2.1"];
  readonly asked: OutsideRequest[] = [];
  readonly #answer: (request: OutsideRequest, origin: Origin) => OutsideResult;
  readonly #handshake: (version: "TLSv1.2" | "TLSv1.3") => Handshake;
  readonly #nowMs: number;

  constructor(
    answer: (request: OutsideRequest, origin: Origin) => OutsideResult,
    nowMs = 1_800_000_000_000,
    handshake: (version: "TLSv1.2" | "TLSv1.3") => Handshake = (version) => handshakeOf(version, nowMs),
  ) {
    this.#answer = answer;
    this.#nowMs = nowMs;
    this.#handshake = handshake;
  }

  async ask(origin: Origin, request: OutsideRequest): Promise<OutsideResult> {
    this.asked.push(request);
    return this.#answer(request, origin);
  }

  async addressesOf(): Promise<readonly string[]> {
    return this.addresses;
  }

  async handshake(_origin: unknown, version: "TLSv1.2" | "TLSv1.3"): Promise<Handshake> {
    return this.#handshake(version);
  }

  now(): number {
    return this.#nowMs;
  }
}
