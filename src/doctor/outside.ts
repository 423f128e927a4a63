/** Where a server is, as a client knows it. */
export interface Origin {
  scheme: "http" | "https";
  /** As in a URL: IPv6 in brackets. */
  host: string;
  port: number;
  /** A unix socket instead of host and port. */
  socketPath?: string;
}

/** One request, sent as it is written here: nothing in the path is resolved, encoded or decoded. */
export interface OutsideRequest {
  method: string;
  /** Path and query. */
  path: string;
  headers?: Readonly<Record<string, string>>;
  body?: string;
  /** Claims a body of this size and sends none: who minds its size says so at once. */
  claimedBytes?: number;
  deadlineMs?: number;
  /** Instead of that to which the name leads. */
  address?: string;
  /** Only to whom the certificate was made out for: set for what carries a token, or says where one goes. */
  isSecret?: boolean;
}

/** An answer with everything that a doctor looks at. */
export interface OutsideAnswer {
  status: number;
  /** Names in lower case; values as often as they came. */
  headers: ReadonlyMap<string, readonly string[]>;
  /** At most 1 MiB of it. */
  text: string;
  /** Milliseconds from the question to each piece of the body. */
  pieces: readonly number[];
  tookMs: number;
}

/** An answer, or a word for why there is none and how long that took. */
export type OutsideResult = { ok: true; answer: OutsideAnswer } | { ok: false; reason: string; tookMs: number };

/** What one attempt to speak TLS brought. */
export type Handshake =
  | {
      ok: true;
      protocol: string;
      /** What is spoken inside: `h2`, or nothing that was agreed upon. */
      alpn: string | null;
      certificate: {
        validToMs: number;
        /** Why the name does not fit; null = it does. */
        nameProblem: string | null;
        /** OpenSSL's word for why it is not believed; null = it is. */
        trustProblem: string | null;
      };
    }
  | { ok: false; reason: string };

/** The world as a client sees it. Nothing of it ever rejects, and everything has a deadline. */
export interface Outside {
  ask(origin: Origin, request: OutsideRequest): Promise<OutsideResult>;
  /** All that the name leads to. */
  addressesOf(origin: Origin): Promise<readonly string[]>;
  handshake(origin: Origin, version: "TLSv1.2" | "TLSv1.3"): Promise<Handshake>;
  /** Wall clock. */
  now(): number;
}

/** The first value of a header; null without. */
export const headerOf = ({ headers }: Pick<OutsideAnswer, "headers">, name: string): string | null =>
  headers.get(name)?.[0] ?? null;

/** The body as a JSON object; null when it is none. */
export function jsonOf({ text }: Pick<OutsideAnswer, "text">): Readonly<Record<string, unknown>> | null {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null && !Array.isArray(value)
      ? (value as Record<string, unknown>)
      : null;
  } catch {
    return null;
  }
}

/** `https://matrix.example.org`, as one would write it. */
export function originText({ scheme, host, port }: Origin): string {
  const isUsual = port === (scheme === "https" ? 443 : 80);
  return `${scheme}://${host}${isUsual ? "" : `:${port}`}`;
}

/** The origin of a URL; null when it is no http(s) URL. */
export function readOrigin(text: string): Origin | null {
  if (!/^https?:\/\//i.test(text) || !URL.canParse(text)) return null;
  const url = new URL(text);
  const scheme = url.protocol === "https:" ? "https" : "http";
  return { scheme, host: url.hostname, port: url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port) };
}
