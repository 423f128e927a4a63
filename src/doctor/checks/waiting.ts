import { PROBE_HEADER, TRICKLE } from "#src/http/probes.ts";
import { adviceFor } from "../advice.ts";
import type { Finding } from "../finding.ts";
import { finding } from "../finding.ts";
import type { OutsideAnswer, OutsideResult } from "../outside.ts";
import { jsonOf } from "../outside.ts";
import { askPatient } from "../patient.ts";
import type { Patient } from "../patient.ts";
import { PROBE_PATH } from "../probe-path.ts";
import type { ProxyKind } from "../proxy-kind.ts";

/** A little more than the minute after which many proxies lose patience by default. */
const HOLD_SECS = 61;
/** What clients wait for at most. */
const LONG_POLL_SECS = 30;
const TRICKLE_LIMIT_MS = 15_000;
/** What a busy machine, or a long way, adds to a proxy's patience. */
const SLACK_SECS = 3;

/** Waits as a long poll does. */
export function observeLongPoll(patient: Patient): Promise<OutsideResult> {
  return probe(patient, `hold ${HOLD_SECS}`, (HOLD_SECS + 15) * 1000);
}

/** Listens to an answer that comes bit by bit; once more when it seems held back, for it may be us who did not listen. */
export async function observeStreaming(patient: Patient): Promise<OutsideResult> {
  const first = await probe(patient, "trickle", TRICKLE_LIMIT_MS);
  return first.ok && isTrickle(first.answer) && isHeldBack(first.answer)
    ? probe(patient, "trickle", TRICKLE_LIMIT_MS)
    : first;
}

const isTrickle = ({ text }: OutsideAnswer): boolean => text.startsWith("drop\n");

function isHeldBack({ pieces }: OutsideAnswer): boolean {
  const spreadMs = (pieces.at(-1) ?? 0) - (pieces[0] ?? 0);
  return spreadMs <= ((TRICKLE.pieces - 1) * TRICKLE.everyMs) / 2;
}

function probe(patient: Patient, action: string, deadlineMs: number): Promise<OutsideResult> {
  const headers = { [PROBE_HEADER]: `${patient.newMark()} ${action}`, "content-type": "application/json" };
  return askPatient(patient, { method: "POST", path: PROBE_PATH, headers, body: "{}", deadlineMs });
}

/** How long a silent request lives. */
export function judgeLongPoll(seen: OutsideResult, proxy: ProxyKind | null): readonly Finding[] {
  if (seen.ok && jsonOf(seen.answer)?.["probe"] === "hold") {
    return [finding("long-polls", "ok", `a request that waits for ${HOLD_SECS} s is answered`)];
  }
  if (seen.ok && seen.answer.status === 429)
    return [finding("long-polls", "skip", "too many probes wait already: try again in a minute")];
  const seconds = Math.round((seen.ok ? seen.answer.tookMs : seen.tookMs) / 1000);
  const how = seen.ok ? `answered ${seen.answer.status}` : "cut off";
  const advice = adviceFor("long-polls", proxy);
  if (seconds <= LONG_POLL_SECS + SLACK_SECS) {
    return [
      finding(
        "long-polls",
        "fail",
        `a request that waits is ${how} after ${seconds} s: clients wait ${LONG_POLL_SECS} s, and see errors`,
        advice,
      ),
    ];
  }
  const text = `a request that waits is ${how} after ${seconds} s: enough for long polls, but not for the first sync of a large account`;
  return [finding("long-polls", "warn", text, advice)];
}

/** Whether the pieces of an answer arrive when they are sent. */
export function judgeStreaming(seen: OutsideResult, proxy: ProxyKind | null): readonly Finding[] {
  if (!seen.ok || !isTrickle(seen.answer)) {
    const why = seen.ok ? `it is answered ${seen.answer.status}` : seen.reason;
    return [finding("streaming", "skip", `an answer that comes bit by bit cannot be looked at: ${why}`)];
  }
  if (!isHeldBack(seen.answer)) return [finding("streaming", "ok", "answers arrive while they are sent")];
  const text =
    "answers are held back until they are complete: large ones are slow, and fill the proxy's disk or memory";
  return [finding("streaming", "warn", text, adviceFor("streaming", proxy))];
}
