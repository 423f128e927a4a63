import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";
import { adviceFor } from "../advice.ts";
import type { Handshake } from "../outside.ts";
import type { Patient } from "../patient.ts";
import type { ProxyKind } from "../proxy-kind.ts";

/** How TLS is spoken, version by version. */
export interface TlsSeen {
  host: string;
  old: Handshake;
  current: Handshake;
  nowMs: number;
}

/** The system's words for a connection that did not come about. */
const NOT_THERE =
  /^(?:ECONN(?:REFUSED|RESET)|E(?:NOTFOUND|AI_AGAIN|TIMEDOUT|HOSTUNREACH|NETUNREACH)|no answer in time)$/;
const DAY_MS = 86_400_000;
/** Certificates that renew themselves do so a month before. */
const SOON_DAYS = 14;

/** Shakes hands twice. */
export async function observeTls({ outside, origin }: Patient): Promise<TlsSeen> {
  const [old, current] = await Promise.all([
    outside.handshake(origin, "TLSv1.2"),
    outside.handshake(origin, "TLSv1.3"),
  ]);
  return { host: origin.host, old, current, nowMs: outside.now() };
}

/** Versions, certificate, and HTTP/2, which is agreed upon in the same handshake. */
export function judgeTls({ host, old, current, nowMs }: TlsSeen, proxy: ProxyKind | null): readonly Finding[] {
  const spoken = current.ok ? current : old;
  if (!spoken.ok) {
    const reason = current.ok ? "" : current.reason;
    if (NOT_THERE.test(reason)) return [finding("tls", "skip", `nobody to speak TLS with (${reason})`)];
    return [
      finding("tls", "fail", `neither TLS 1.2 nor TLS 1.3 can be spoken (${reason})`, adviceFor("tls-1.2", proxy)),
    ];
  }
  const findings: Finding[] = [];
  if (!old.ok)
    findings.push(
      finding("tls", "fail", "TLS 1.2 is not offered: clients on iOS cannot connect", adviceFor("tls-1.2", proxy)),
    );
  if (!current.ok) findings.push(finding("tls", "warn", "TLS 1.3 is not offered", adviceFor("tls-1.3", proxy)));
  findings.push(...judgeCertificate(host, spoken.certificate, nowMs, proxy));
  const days = Math.floor((spoken.certificate.validToMs - nowMs) / DAY_MS);
  const good = orGood(
    findings,
    "tls",
    `TLS 1.2 and 1.3, and a certificate for ${host} that is good for ${days} more days`,
  );
  const http2 =
    spoken.alpn === "h2"
      ? finding("http2", "ok", "HTTP/2 is offered")
      : finding("http2", "warn", "HTTP/2 is not offered", adviceFor("http2", proxy));
  return [...good, http2];
}

type Certificate = Extract<Handshake, { ok: true }>["certificate"];

function judgeCertificate(host: string, certificate: Certificate, nowMs: number, proxy: ProxyKind | null): Finding[] {
  const findings: Finding[] = [];
  const { validToMs, nameProblem, trustProblem } = certificate;
  const leftMs = validToMs - nowMs;
  const until = Number.isNaN(validToMs) ? "?" : new Date(validToMs).toISOString().slice(0, 10);
  const renew =
    "renew it, have it renewed by itself (certbot, acme.sh, Caddy), and reload the reverse proxy after that";
  if (leftMs <= 0) findings.push(finding("tls", "fail", `the certificate ended on ${until}`, renew));
  else if (leftMs < SOON_DAYS * DAY_MS)
    findings.push(finding("tls", "warn", `the certificate ends on ${until}`, renew));
  if (nameProblem !== null) {
    const advice = `get a certificate for ${host}, and have the reverse proxy use it for this name`;
    findings.push(finding("tls", "fail", `the certificate is not for ${host}`, advice));
  }
  if (trustProblem !== null && !(leftMs <= 0 && trustProblem === "CERT_HAS_EXPIRED")) {
    findings.push(judgeTrust(trustProblem, proxy));
  }
  return findings;
}

function judgeTrust(problem: string, proxy: ProxyKind | null): Finding {
  switch (problem) {
    case "UNABLE_TO_VERIFY_LEAF_SIGNATURE":
    case "UNABLE_TO_GET_ISSUER_CERT_LOCALLY":
    case "UNABLE_TO_GET_ISSUER_CERT":
      return finding(
        "tls",
        "fail",
        "the chain of certificates is not complete, or its authority is not known",
        adviceFor("chain", proxy),
      );
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
    case "SELF_SIGNED_CERT_IN_CHAIN":
      return finding(
        "tls",
        "fail",
        "the certificate is signed by itself: clients do not believe it",
        "get one from an authority that clients know, such as Let's Encrypt; where yours is known to all clients, name it with --ca-file",
      );
    default:
      return finding("tls", "fail", `the certificate is not believed (${problem})`, adviceFor("chain", proxy));
  }
}
