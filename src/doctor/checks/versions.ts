import { ANNOUNCED_FEATURES, VERSIONS_PATH } from "#src/http/front-paths.ts";
import { PROBE_HEADER } from "#src/http/probes.ts";
import { adviceFor } from "../advice.ts";
import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";
import type { OutsideAnswer, OutsideResult } from "../outside.ts";
import { headerOf, jsonOf } from "../outside.ts";
import { PAGE_ORIGIN, askPatient } from "../patient.ts";
import type { Patient } from "../patient.ts";
import type { ProxyKind } from "../proxy-kind.ts";

/** One question for `/versions`, and the mark it had. */
interface Asked {
  mark: string;
  result: OutsideResult;
}

/** `/versions` as nobody in particular hears it, and then as somebody with a token does. */
export interface VersionsSeen {
  anybody: Asked;
  /** With a token that nobody has. */
  somebody: Asked;
  /** With a query that nobody has asked with: no cache can know the answer. */
  unique: Asked;
}

/** Asks again and again, one after the other, so that a cache in between has something to remember. */
export async function observeVersions(patient: Patient): Promise<VersionsSeen> {
  const ask = async (headers: Record<string, string>, query = ""): Promise<Asked> => {
    const mark = patient.newMark();
    const path = VERSIONS_PATH + (query && `?${query}=${mark}`);
    const probe = { origin: PAGE_ORIGIN, [PROBE_HEADER]: mark, ...headers };
    return { mark, result: await askPatient(patient, { method: "GET", path, headers: probe }) };
  };
  const anybody = await ask({});
  const somebody = await ask({ authorization: `Bearer doctor-${patient.newMark()}` });
  return { anybody, somebody, unique: await ask({}, "doctor") };
}

/** Whether this answer was made by Glissade, and for this question. */
const isMarked = ({ mark, result }: Asked): boolean => result.ok && headerOf(result.answer, PROBE_HEADER) === mark;

/** Whether clients learn of sliding sync, each what holds for them. */
export function judgeVersions(
  { anybody, somebody, unique }: VersionsSeen,
  proxy: ProxyKind | null,
): readonly Finding[] {
  const say = (level: Finding["level"], text: string, ...advice: string[]): Finding =>
    finding("versions", level, `${VERSIONS_PATH} ${text}`, ...advice);
  if (!anybody.result.ok) return [say("fail", `cannot be asked (${anybody.result.reason})`)];
  const { answer } = anybody.result;
  if (![anybody, somebody, unique].some(isMarked)) return [judgeStranger(answer, say, proxy)];
  if (answer.status >= 500) {
    const advice =
      "start it, and compare SYNCV3_SERVER with its address; glissade doctor with the server's own environment looks from there too";
    return [say("fail", `is answered ${answer.status}: Glissade cannot reach the homeserver`, advice)];
  }
  const missing = missingFeatures(jsonOf(answer));
  if (answer.status !== 200 || missing === null) {
    return [
      say(
        "fail",
        `is answered ${answer.status} without a list of versions`,
        "SYNCV3_SERVER has to be the address of a Matrix homeserver",
      ),
    ];
  }
  const findings: Finding[] = [];
  if (missing.length > 0)
    findings.push(say("fail", `does not announce ${missing.join(" and ")}`, adviceFor("cache", proxy)));
  findings.push(...judgeCache(somebody, answer, say, proxy));
  return orGood(findings, "versions", `${VERSIONS_PATH} announces sliding sync`);
}

type Say = (level: Finding["level"], text: string, ...advice: string[]) => Finding;

function judgeStranger(answer: OutsideAnswer, say: Say, proxy: ProxyKind | null): Finding {
  if (answer.status === 502 || answer.status === 503 || answer.status === 504) {
    return say("fail", `is answered ${answer.status} by the reverse proxy`, adviceFor("reach-glissade", proxy));
  }
  const missing = missingFeatures(jsonOf(answer));
  const route = adviceFor("route-paths", proxy);
  if (missing === null)
    return say("fail", `is answered ${answer.status}, with no list of versions: it does not reach Glissade`, route);
  const text = "is answered by somebody else, mostly the homeserver";
  return missing.includes("org.matrix.simplified_msc3575")
    ? say("fail", `${text}: clients do not hear of sliding sync here`, route)
    : say("fail", `${text}, which has sliding sync of its own: clients hear of that one`, route);
}

/** Of what we announce; null when this is no answer to the question. */
function missingFeatures(json: Readonly<Record<string, unknown>> | null): string[] | null {
  if (json === null || !Array.isArray(json["versions"])) return null;
  const features = (json["unstable_features"] ?? {}) as Readonly<Record<string, unknown>>;
  return ANNOUNCED_FEATURES.filter((feature) => features[feature] !== true);
}

function judgeCache(somebody: Asked, answer: OutsideAnswer, say: Say, proxy: ProxyKind | null): Finding[] {
  const advice = adviceFor("cache", proxy);
  // Nobody else has that token: whoever minds it has nothing in store for it.
  if (somebody.result.ok && !isMarked(somebody)) {
    const text =
      "is told to somebody with a token as it was told to nobody in particular: a cache does not mind Vary: Authorization";
    return [say("fail", text, advice)];
  }
  const cacheControl = headerOf(answer, "cache-control") ?? "";
  const isCacheable = /max-age=[1-9]/.test(cacheControl) && !/private|no-store|no-cache/.test(cacheControl);
  const varies = (answer.headers.get("vary") ?? []).some((value) => /authorization|\*/i.test(value));
  return isCacheable && !varies
    ? [say("warn", "may be cached, and does not say Vary: Authorization: the header is lost on its way", advice)]
    : [];
}
