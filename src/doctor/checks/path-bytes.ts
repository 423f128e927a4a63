import { PROBE_HEADER } from "#src/http/probes.ts";
import { adviceFor } from "../advice.ts";
import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";
import type { OutsideResult } from "../outside.ts";
import { jsonOf } from "../outside.ts";
import type { Patient } from "../patient.ts";
import { PAGE_ORIGIN, askPatient } from "../patient.ts";
import type { ProxyKind } from "../proxy-kind.ts";
import type { NamedAnswer } from "./cors.ts";
import { isOurs } from "./sync-paths.ts";

/**
 * Room ids that nobody has, as clients write them. A homeserver knows the endpoint by its slashes and minds the token before
 * the room: who comes there with another path than was sent is told that there is no such endpoint.
 */
const SPELLINGS = {
  plain: "!glissade%3Adoctor.invalid",
  "%2F (slash)": "!a%2Fb%3Adoctor.invalid",
  "%23 (#)": "!a%23b%3Adoctor.invalid",
  "%3F (?)": "!a%3Fb%3Adoctor.invalid",
  "%252F (a percent sign)": "!a%252Fb%3Adoctor.invalid",
  "%2E%2E%2F (dots)": "!a%2F%2E%2E%2Fb%3Adoctor.invalid",
  "+": "!a+b%3Adoctor.invalid",
  "%C3%A9 (é)": "!a%C3%A9b%3Adoctor.invalid",
} as const;

/** What was said to each spelling. */
export interface PathBytesSeen {
  answers: ReadonlyMap<string, OutsideResult>;
  /** All were asked with it: Glissade answers with it, a homeserver does not. */
  mark: string;
}

/** Asks for the state of rooms, without a token. */
export async function observePathBytes(patient: Patient): Promise<PathBytesSeen> {
  const mark = patient.newMark();
  const headers = { origin: PAGE_ORIGIN, [PROBE_HEADER]: mark };
  const entries = Object.entries(SPELLINGS).map(async ([name, roomId]): Promise<[string, OutsideResult]> => [
    name,
    await askPatient(patient, { method: "GET", path: `/_matrix/client/v3/rooms/${roomId}/state`, headers }),
  ]);
  return { answers: new Map(await Promise.all(entries)), mark };
}

/** What the homeserver itself says to a web page; nothing where it is not heard. */
export function homeserversAnswer({ answers, mark }: PathBytesSeen): NamedAnswer[] {
  const plain = answers.get("plain");
  if (plain === undefined || !plain.ok || isOurs(plain, mark) || outcomeOf(plain) === null) return [];
  return [{ what: "GET …/rooms/<room id>/state of the homeserver", answer: plain.answer }];
}

/** Whether every spelling got as far as the plain one. */
export function judgePathBytes(seen: PathBytesSeen, proxy: ProxyKind | null): readonly Finding[] {
  const plain = seen.answers.get("plain");
  if (plain !== undefined && isOurs(plain, seen.mark)) {
    return [
      finding(
        "path-bytes",
        "fail",
        "the homeserver's own paths lead to Glissade, which does not hand them on: nobody can log in",
        "set SYNCV3_FORWARD=1, or send only the paths that glissade routes prints here, and all others to the homeserver",
      ),
    ];
  }
  const expected = plain === undefined ? null : outcomeOf(plain);
  if (expected === null || expected === "M_UNRECOGNIZED") {
    const what = expected === null ? "is no Matrix answer" : "is not known there";
    return [
      finding("path-bytes", "skip", `the homeserver's paths cannot be compared: GET …/rooms/<room id>/state ${what}`),
    ];
  }
  const changed = [...seen.answers].filter(([, result]) => outcomeOf(result) !== expected).map(([name]) => name);
  const findings =
    changed.length === 0
      ? []
      : [
          finding(
            "path-bytes",
            "fail",
            `paths do not reach the homeserver as they were sent: ${changed.join(", ")}. Some rooms, aliases and media cannot be opened`,
            adviceFor("path-bytes", proxy),
          ),
        ];
  return orGood(findings, "path-bytes", "paths reach the homeserver as they were sent (%2F, %23, %25, + and others)");
}

function outcomeOf(result: OutsideResult): string | null {
  const errcode = result.ok ? jsonOf(result.answer)?.["errcode"] : null;
  return typeof errcode === "string" ? errcode : null;
}
