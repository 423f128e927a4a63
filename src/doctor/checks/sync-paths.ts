import { SYNC_ENDPOINTS } from "#src/http/front-paths.ts";
import { PROBE_HEADER } from "#src/http/probes.ts";
import { adviceFor } from "../advice.ts";
import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";
import type { OutsideAnswer, OutsideResult } from "../outside.ts";
import { headerOf, jsonOf } from "../outside.ts";
import { PAGE_ORIGIN, askPatient } from "../patient.ts";
import type { Patient } from "../patient.ts";
import type { ProxyKind } from "../proxy-kind.ts";

/** What became of requests to one endpoint. */
export interface EndpointSeen {
  dialect: string;
  path: string;
  /** Other paths do for the dialect's clients. */
  isOptional: boolean;
  mark: string;
  /** `POST` without a token. */
  post: OutsideResult;
  /** A browser's `OPTIONS` before it. */
  preflight: OutsideResult;
}

/** Every endpoint, as a client without a token and as a browser before that. */
export function observeSyncPaths(patient: Patient): Promise<EndpointSeen[]> {
  return Promise.all(
    SYNC_ENDPOINTS.map(async ({ dialect, path, isShared }): Promise<EndpointSeen> => {
      const mark = patient.newMark();
      const headers = { origin: PAGE_ORIGIN, [PROBE_HEADER]: mark };
      const [post, preflight] = await Promise.all([
        askPatient(patient, {
          method: "POST",
          path,
          headers: { ...headers, "content-type": "application/json" },
          body: "{}",
        }),
        askPatient(patient, {
          method: "OPTIONS",
          path,
          headers: {
            ...headers,
            "access-control-request-method": "POST",
            "access-control-request-headers": "authorization,content-type",
          },
        }),
      ]);
      return { dialect, path, isOptional: isShared, mark, post, preflight };
    }),
  );
}

/** Whether Glissade itself answered. */
export const isOurs = (result: OutsideResult, mark: string): boolean =>
  result.ok && headerOf(result.answer, PROBE_HEADER) === mark;

/** Which dialects can be spoken from outside. */
export function judgeSyncPaths(seen: readonly EndpointSeen[], proxy: ProxyKind | null): readonly Finding[] {
  const findings = seen
    .filter(({ isOptional, post, mark }) => !isOptional || isOurs(post, mark))
    .flatMap((endpoint) => judgeEndpoint(endpoint, proxy));
  const good = seen.filter(({ post, mark }) => isOurs(post, mark)).length;
  return orGood(findings, "sync-paths", `Glissade answers on ${good} sync paths, in every dialect`);
}

function judgeEndpoint({ dialect, path, mark, post }: EndpointSeen, proxy: ProxyKind | null): Finding[] {
  const say = (level: Finding["level"], text: string, ...advice: string[]): Finding[] => [
    finding("sync-paths", level, `${path} (${dialect}) ${text}`, ...advice),
  ];
  if (!post.ok) return say("fail", `cannot be asked (${post.reason})`, adviceFor("reach-glissade", proxy));
  const { answer } = post;
  const errcode = jsonOf(answer)?.["errcode"];
  if (isOurs(post, mark)) {
    if (answer.status === 401 && errcode === "M_MISSING_TOKEN") return [];
    if (answer.status === 404) return say("ok", "is switched off (SYNCV3_V4=0)");
    return say(
      "fail",
      `is answered ${answer.status} by Glissade, which is not what it says to who has no token`,
      "look at its log",
    );
  }
  const route = adviceFor("route-paths", proxy);
  if (answer.status === 502 || answer.status === 503 || answer.status === 504) {
    return say("fail", `is answered ${answer.status} by the reverse proxy`, adviceFor("reach-glissade", proxy));
  }
  if (errcode === "M_MISSING_TOKEN" || errcode === "M_UNKNOWN_TOKEN") {
    return say(
      "fail",
      "is answered by the homeserver, which has sliding sync of its own: Glissade is passed by",
      route,
    );
  }
  if (typeof errcode === "string")
    return say("fail", `is answered ${answer.status} ${errcode} by somebody else, mostly the homeserver`, route);
  return say("fail", `is answered ${answer.status} with ${kindOf(answer)}: it does not reach Glissade`, route);
}

function kindOf(answer: OutsideAnswer): string {
  const type = headerOf(answer, "content-type") ?? "";
  return type.includes("html") ? "a page for people" : "something that is not Matrix";
}

/** Whether browsers are let through to `POST`. */
export function judgePreflights(seen: readonly EndpointSeen[], proxy: ProxyKind | null): readonly Finding[] {
  const findings = seen
    .filter(({ isOptional, post, mark }) => !isOptional && isOurs(post, mark))
    .flatMap(({ path, preflight }) => {
      const problem = preflightProblem(preflight);
      if (problem === null) return [];
      return [finding("preflight", "fail", `OPTIONS ${path}: ${problem}`, adviceFor("route-options", proxy))];
    });
  if (seen.every(({ post, mark }) => !isOurs(post, mark))) {
    return [finding("preflight", "skip", "no sync path reaches Glissade")];
  }
  return orGood(findings, "preflight", "browsers may ask on all of them (OPTIONS)");
}

function preflightProblem(result: OutsideResult): string | null {
  if (!result.ok) return `cannot be asked (${result.reason})`;
  const { status, headers } = result.answer;
  if (status !== 200 && status !== 204) return `is answered ${status}: browsers do not go on`;
  const listed = (name: string): string[] =>
    (headers.get(name) ?? []).flatMap((value) => value.split(",")).map((word) => word.trim().toLowerCase());
  if (!listed("access-control-allow-methods").includes("post")) return "does not allow POST";
  const allowed = listed("access-control-allow-headers");
  const missing = ["authorization", "content-type"].filter((name) => !allowed.includes(name));
  return missing.length === 0 ? null : `does not allow the headers ${missing.join(", ")}`;
}
