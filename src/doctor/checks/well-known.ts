import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";
import { adviceFor } from "../advice.ts";
import type { Origin, Outside, OutsideResult } from "../outside.ts";
import { headerOf, jsonOf, originText, readOrigin } from "../outside.ts";
import { PAGE_ORIGIN } from "../patient.ts";
import { proxyOf } from "../proxy-kind.ts";
import { corsOf } from "./cors.ts";

const PATH = "/.well-known/matrix/client";
const MAX_REDIRECTS = 3;

/** What was found where clients look first. */
export interface WellKnownSeen {
  /** Who was asked. */
  origin: Origin;
  /** Nobody need be there where the address itself was given. */
  isOptional: boolean;
  result: OutsideResult;
}

/** What a base URL says: an origin, and a path behind it. */
export interface BaseUrl {
  origin: Origin;
  prefix: string;
}

/** Asks as clients do, redirections included. */
export async function observeWellKnown(outside: Outside, origin: Origin, isOptional: boolean): Promise<WellKnownSeen> {
  return { origin, isOptional, result: await follow(outside, origin, false) };
}

/** Whether the way from the name to this address is vouched for: a stranger on it could send a token to himself. */
export async function isVouchedFor(
  outside: Outside,
  origin: Origin,
  { origin: to, prefix }: BaseUrl,
): Promise<boolean> {
  const base = baseUrlOf({ result: await follow(outside, origin, true) });
  return base !== null && originText(base.origin) === originText(to) && base.prefix === prefix;
}

async function follow(outside: Outside, origin: Origin, isSecret: boolean): Promise<OutsideResult> {
  let [from, path] = [origin, PATH];
  for (let redirects = 0; ; redirects += 1) {
    if (isSecret && from.scheme !== "https") return { ok: false, reason: "not https", tookMs: 0 };
    const request = { method: "GET", path, headers: { origin: PAGE_ORIGIN }, ...(isSecret ? { isSecret } : {}) };
    const result = await outside.ask(from, request);
    const location =
      result.ok && Math.floor(result.answer.status / 100) === 3 ? headerOf(result.answer, "location") : null;
    const here = originText(from) + path;
    const target = location !== null && URL.canParse(location, here) ? new URL(location, here) : null;
    const next = target === null ? null : readOrigin(target.href);
    if (target === null || next === null || redirects >= MAX_REDIRECTS) return result;
    [from, path] = [next, target.pathname + target.search];
  }
}

/** Where the well-known file sends clients; null when it sends them nowhere. */
export function baseUrlOf({ result }: Pick<WellKnownSeen, "result">): BaseUrl | null {
  const url = result.ok && result.answer.status === 200 ? baseUrlText(jsonOf(result.answer)) : null;
  const origin = url === null ? null : readOrigin(url);
  if (url === null || origin === null) return null;
  return { origin, prefix: new URL(url).pathname.replace(/\/+$/, "") };
}

const memberOf = (value: unknown, name: string): unknown =>
  typeof value === "object" && value !== null ? (value as Readonly<Record<string, unknown>>)[name] : undefined;

function baseUrlText(json: Readonly<Record<string, unknown>> | null): string | null {
  const url = memberOf(json?.["m.homeserver"], "base_url");
  return typeof url === "string" ? url : null;
}

/** What clients make of it. */
export function judgeWellKnown({ origin, isOptional, result }: WellKnownSeen): readonly Finding[] {
  const where = `${originText(origin)}${PATH}`;
  const say = (level: Finding["level"], text: string, ...advice: string[]): Finding =>
    finding("well-known", level, `${where} ${text}`, ...advice);
  if (!result.ok) {
    if (isOptional) return [say("skip", `cannot be asked (${result.reason})`)];
    return [say("fail", `cannot be asked (${result.reason}): clients do not find the server by its name`)];
  }
  const { answer } = result;
  if (answer.status === 404) {
    if (isOptional)
      return [say("ok", "is not there: not needed, as long as the file of the server's own name leads here")];
    const advice = `serve {"m.homeserver": {"base_url": "https://…"}} there, as application/json and with Access-Control-Allow-Origin: *`;
    return [say("warn", "is not there: clients take the server's name itself for its address", advice)];
  }
  if (answer.status !== 200)
    return [say("fail", `answers ${answer.status}: clients give up`, "answer 200 with the file, or 404")];
  const json = jsonOf(answer);
  if (json === null)
    return [say("fail", "is no JSON object: clients give up", "serve the file itself, not a page of the web site")];
  const findings: Finding[] = [];
  const url = baseUrlText(json);
  const advice = `"m.homeserver": {"base_url": "https://matrix.example.org"}, with https:// before the name`;
  if (url === null) findings.push(say("fail", "has no m.homeserver base_url: clients give up", advice));
  else if (!/^https:\/\//i.test(url)) {
    const problem = /^http:\/\//i.test(url) ? "begins with http://" : "has no https:// at its beginning";
    findings.push(say("fail", `: base_url ${JSON.stringify(url)} ${problem}: clients refuse it`, advice));
  } else if (!URL.canParse(url)) findings.push(say("fail", `: base_url ${JSON.stringify(url)} is no URL`, advice));
  findings.push(...judgeManners(answer, say), ...judgeDeadKey(json, url, say));
  return orGood(findings, "well-known", `${where} leads to ${url ?? ""}`);
}

type Say = (level: Finding["level"], text: string, ...advice: string[]) => Finding;

function judgeManners(answer: Parameters<typeof corsOf>[0] & Parameters<typeof proxyOf>[0], say: Say): Finding[] {
  const findings: Finding[] = [];
  const cors = corsOf(answer);
  if (cors === "doubled") {
    findings.push(
      say(
        "fail",
        "has Access-Control-Allow-Origin more than once: web clients refuse it",
        adviceFor("cors", proxyOf(answer)),
      ),
    );
  } else if (cors !== "right") {
    findings.push(
      say(
        "fail",
        "has no Access-Control-Allow-Origin: * : web clients cannot read it",
        "add the header Access-Control-Allow-Origin: *",
      ),
    );
  }
  const type = headerOf(answer, "content-type") ?? "nothing";
  if (!/^application\/json\b/i.test(type)) {
    findings.push(say("warn", `is told to be ${type}`, "serve it as Content-Type: application/json"));
  }
  return findings;
}

/** The Go proxy was found by it; clients of today do not look at it, and old ones mind how it is written. */
function judgeDeadKey(json: Readonly<Record<string, unknown>>, baseUrl: string | null, say: Say): Finding[] {
  const proxy = json["org.matrix.msc3575.proxy"];
  if (proxy === undefined) return [];
  const url = memberOf(proxy, "url");
  const key = "org.matrix.msc3575.proxy";
  if (typeof url !== "string" || readOrigin(url)?.scheme !== "https") {
    const advice = `remove ${key}, or write {"url": "${baseUrl ?? "https://matrix.example.org"}"}`;
    return [say("warn", `: ${key} has no https:// URL: clients of MSC3575 cannot use it`, advice)];
  }
  if (new URL(url).pathname !== "/") {
    return [
      say(
        "warn",
        `: the URL of ${key} has a path, which clients of MSC3575 put theirs behind`,
        `write {"url": "${new URL(url).origin}"}`,
      ),
    ];
  }
  const isOwn = baseUrl !== null && URL.canParse(baseUrl) && new URL(baseUrl).origin === new URL(url).origin;
  if (isOwn) return [];
  const advice = `remove it when no client of MSC3575 is left; until then it should name ${baseUrl ?? "the homeserver's own address"}`;
  return [
    say("warn", `: ${key} sends old clients to ${new URL(url).origin}; clients of today do not look at it`, advice),
  ];
}
