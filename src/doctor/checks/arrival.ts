import { PROBE_HEADER } from "#src/http/probes.ts";
import { adviceFor } from "../advice.ts";
import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";
import type { OutsideResult } from "../outside.ts";
import { jsonOf, originText } from "../outside.ts";
import type { Origin } from "../outside.ts";
import { askPatient } from "../patient.ts";
import type { Patient } from "../patient.ts";
import { PROBE_PATH, SYNC_BODY_BYTES } from "../probe-path.ts";
import type { ProxyKind } from "../proxy-kind.ts";

/** Each of them has a meaning to somebody who decodes or tidies. */
const QUERY = "?a=%2F%23%3F%26&b=+%2B%25&c=%C3%A9%2e~";

/** What was sent, and what Glissade says that it got. */
export interface ArrivalSeen {
  origin: Origin;
  sent: string;
  echo: OutsideResult;
}

/** Sends what a large sync request looks like, and has it told back. */
export async function observeArrival(patient: Patient): Promise<ArrivalSeen> {
  const sent = PROBE_PATH + QUERY;
  const echo = await askPatient(patient, {
    method: "POST",
    path: sent,
    headers: {
      [PROBE_HEADER]: `${patient.newMark()} echo`,
      authorization: `Bearer doctor-${patient.newMark()}`,
      "content-type": "application/json",
    },
    body: JSON.stringify({ padding: "x".repeat(SYNC_BODY_BYTES) }),
  });
  return { origin: patient.origin, sent, echo };
}

/** What proxies have made of a request on its way. */
export function judgeArrival({ origin, sent, echo }: ArrivalSeen, proxy: ProxyKind | null): readonly Finding[] {
  const json = echo.ok ? jsonOf(echo.answer) : null;
  if (!echo.ok || json?.["probe"] !== "echo") return judgeLost(echo, proxy);
  const findings: Finding[] = [];
  const say = (level: Finding["level"], text: string, advice: string): void => {
    findings.push(finding("arrival", level, text, advice));
  };
  if (json["target"] !== sent) say("fail", "the query does not arrive as it was sent", adviceFor("path-bytes", proxy));
  const host = String(json["host"]);
  // A proxy may leave out or add the port that everybody knows.
  if (host.toLowerCase().replace(/:(?:443|80)$/, "") !== hostText(origin)) {
    say(
      "fail",
      `Host arrives as ${host}, not as ${hostText(origin)}: the homeserver takes itself for somebody else`,
      adviceFor("host", proxy),
    );
  }
  if (json["has_authorization"] !== true)
    say("fail", "the Authorization header does not arrive: everybody is logged out", adviceFor("authorization", proxy));
  const proto = json["forwarded_proto"];
  if (typeof proto === "string" && proto !== origin.scheme) {
    say("warn", `X-Forwarded-Proto arrives as ${proto}, not as ${origin.scheme}`, adviceFor("forwarded", proxy));
  }
  if (json["is_forwarding"] === true && proxy !== null && json["forwarded_for"] === 0) {
    say(
      "warn",
      "X-Forwarded-For does not arrive: to the homeserver all clients have one address, and share its limits",
      adviceFor("forwarded", proxy),
    );
  }
  const size = finding("request-size", "ok", "a sync request of 900 KB arrives whole");
  return [...orGood(findings, "arrival", "query, Host and Authorization arrive as they were sent"), size];
}

/** The small question on the same path was answered: it is the size that somebody minded. */
function judgeLost(echo: OutsideResult, proxy: ProxyKind | null): readonly Finding[] {
  const told = echo.ok ? `is answered ${echo.answer.status}` : `is cut off (${echo.reason})`;
  const text = `a sync request of 900 KB ${told}: clients in many rooms cannot sync`;
  return [
    finding("arrival", "skip", "cannot be seen without an echo"),
    finding("request-size", "fail", text, adviceFor("request-size", proxy)),
  ];
}

const hostText = (origin: Origin): string =>
  originText(origin)
    .replace(/^https?:\/\//, "")
    .toLowerCase();
