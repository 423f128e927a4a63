import { judgeAccount, observeAccount } from "./checks/account.ts";
import { judgeArrival, observeArrival } from "./checks/arrival.ts";
import { judgeClock } from "./checks/clock.ts";
import { judgeCors } from "./checks/cors.ts";
import type { NamedAnswer } from "./checks/cors.ts";
import { judgeDatabase } from "./checks/database.ts";
import type { DatabaseSeen } from "./checks/database.ts";
import { judgeHomeserver, observeHomeserver } from "./checks/homeserver.ts";
import { homeserversAnswer, judgePathBytes, observePathBytes } from "./checks/path-bytes.ts";
import { judgeAddresses, observeAddresses } from "./checks/reach.ts";
import { isOurs, judgePreflights, judgeSyncPaths, observeSyncPaths } from "./checks/sync-paths.ts";
import type { EndpointSeen } from "./checks/sync-paths.ts";
import { judgeTls, observeTls } from "./checks/tls.ts";
import { judgeUploadSize, observeUploadSize } from "./checks/upload-size.ts";
import { judgeVersions, observeVersions } from "./checks/versions.ts";
import type { VersionsSeen } from "./checks/versions.ts";
import { judgeLongPoll, judgeStreaming, observeLongPoll, observeStreaming } from "./checks/waiting.ts";
import { baseUrlOf, isVouchedFor, judgeWellKnown, observeWellKnown } from "./checks/well-known.ts";
import type { BaseUrl } from "./checks/well-known.ts";
import { CHECKS, finding } from "./finding.ts";
import type { CheckName, Finding } from "./finding.ts";
import { originText } from "./outside.ts";
import type { Origin, Outside } from "./outside.ts";
import type { Patient } from "./patient.ts";
import { PROBE_PATH } from "./probe-path.ts";
import { proxyOf } from "./proxy-kind.ts";
import type { ProxyKind } from "./proxy-kind.ts";
import { VERSIONS_PATH } from "#src/http/front-paths.ts";

/** Where the examination begins. */
export type Target =
  /** A server's name: what its well-known file says. */
  | { kind: "name"; origin: Origin }
  /** The address that clients talk to. */
  | { kind: "address"; base: BaseUrl }
  /** The listener itself, without anything in between. */
  | { kind: "listener"; base: BaseUrl };

/** What a doctor knows who stands beside the server. */
export interface Inside {
  homeserver: BaseUrl;
  database: () => Promise<DatabaseSeen>;
}

/** What an examination needs. */
export interface ExamineOptions {
  outside: Outside;
  newMark: () => string;
  /** Of an account of the operator's. */
  token: string | null;
  /** As the operator says; else it is found out. */
  proxy: ProxyKind | null;
  /** Leaves out what takes a minute. */
  isQuick: boolean;
  inside: Inside | null;
}

/** What was found. */
export interface Examination {
  /** The address that was looked at. */
  address: string;
  proxy: ProxyKind | null;
  /** In the order of `CHECKS`. */
  findings: readonly Finding[];
}

/** Looks at everything, as far as it can be reached. */
export async function examine(target: Target, options: ExamineOptions): Promise<Examination> {
  const { outside, newMark, inside } = options;
  const found = await locate(target, outside);
  const isBelieved = options.token !== null && (!found.isLed || (await isVouchedFor(outside, found.from, found.base)));
  const patient: Patient = { ...found.base, isBelieved, outside, newMark, proxy: options.proxy };
  const [versions, addresses, tls, beside] = await Promise.all([
    observeVersions(patient),
    target.kind === "listener" ? null : observeAddresses(patient),
    lookAtTls(patient, target),
    inside === null ? [] : lookInside(inside, options),
  ]);
  const isReached = versions.anybody.result.ok;
  const outer = isReached ? await lookCloser(patient, versions, target, options) : [unreached(versions)];
  const reach = addresses === null || !isReached ? [] : judgeAddresses(addresses, patient.proxy);
  const findings = [...found.findings, ...reach, ...tls(patient.proxy), ...outer, ...beside];
  return {
    address: originText(patient.origin) + patient.prefix,
    proxy: patient.proxy,
    findings: findings.toSorted((a, b) => CHECKS.indexOf(a.check) - CHECKS.indexOf(b.check)),
  };
}

interface Located {
  /** Where it began. */
  from: Origin;
  base: BaseUrl;
  /** A file said so, and not the operator. */
  isLed: boolean;
  findings: readonly Finding[];
}

/** Follows a name to an address, as clients do. */
async function locate(target: Target, outside: Outside): Promise<Located> {
  const from = target.kind === "name" ? target.origin : target.base.origin;
  if (target.kind === "listener") return { from, base: target.base, isLed: false, findings: [] };
  const seen = await observeWellKnown(outside, from, target.kind === "address");
  const findings = judgeWellKnown(seen);
  if (target.kind === "address") return { from, base: target.base, isLed: false, findings };
  const led = baseUrlOf(seen);
  return { from, base: led ?? { origin: from, prefix: "" }, isLed: led !== null, findings };
}

/** Advice waits for who is asked for it: the proxy is known later. */
async function lookAtTls(patient: Patient, target: Target): Promise<(proxy: ProxyKind | null) => readonly Finding[]> {
  if (target.kind === "listener")
    return () => [finding("tls", "skip", "the listener itself is looked at, not what clients reach")];
  if (patient.origin.scheme === "http") {
    const advice = "put a reverse proxy with a certificate before it, or set SYNCV3_TLS_CERT and SYNCV3_TLS_KEY";
    return () => [finding("tls", "fail", `${originText(patient.origin)} is not https: clients refuse it`, advice)];
  }
  const seen = await observeTls(patient);
  return (proxy) => judgeTls(seen, proxy);
}

function unreached({ anybody }: VersionsSeen): Finding {
  const reason = anybody.result.ok ? "" : ` (${anybody.result.reason})`;
  const advice =
    "does the name lead to this machine (DNS), is the port open (firewall), and does the reverse proxy run?";
  return finding("reach", "fail", `no answer to GET ${VERSIONS_PATH}${reason}`, advice);
}

/** Everything that needs answers. */
async function lookCloser(
  patient: Patient,
  versions: VersionsSeen,
  target: Target,
  options: ExamineOptions,
): Promise<Finding[]> {
  const endpoints = await observeSyncPaths(patient);
  patient.proxy ??= proxyAmong(versions, endpoints);
  const { proxy } = patient;
  const isReached = endpoints.some(({ path, post, mark }) => path === PROBE_PATH && isOurs(post, mark));
  const [probed, behind, homeserver, account] = await Promise.all([
    isReached ? lookWithProbes(patient, options.isQuick) : withoutProbes(),
    target.kind === "listener" ? withoutHomeserver() : lookBehind(patient, options.token),
    // Beside the server it is asked directly.
    options.inside === null ? observeHomeserver(patient, false) : null,
    options.token === null ? null : observeAccount(patient, options.token).then(judgeAccount),
  ]);
  return [
    ...judgeVersions(versions, proxy),
    ...judgeSyncPaths(endpoints, proxy),
    ...judgePreflights(endpoints, proxy),
    ...judgeCors([...answersAmong(versions, endpoints), ...behind.answers], proxy),
    ...behind.findings,
    ...probed,
    ...(homeserver === null ? [] : judgeHomeserver(homeserver)),
    ...(account ?? []),
  ];
}

interface Behind {
  findings: readonly Finding[];
  /** Of the homeserver's, one that web clients read as well. */
  answers: readonly NamedAnswer[];
}

/** What is the homeserver's, at the address that it shares with Glissade. */
async function lookBehind(patient: Patient, token: string | null): Promise<Behind> {
  const [pathBytes, upload] = await Promise.all([observePathBytes(patient), observeUploadSize(patient, token)]);
  const { answers, mark } = pathBytes;
  const uploads = [...answers.values()].some((each) => isOurs(each, mark))
    ? [finding("upload-size", "skip", "uploads do not reach the homeserver")]
    : judgeUploadSize(upload, patient.proxy);
  return {
    findings: [...judgePathBytes(pathBytes, patient.proxy), ...uploads],
    answers: homeserversAnswer(pathBytes),
  };
}

const withoutHomeserver = (): Behind => ({
  findings: (["path-bytes", "upload-size"] as const).map((check) =>
    finding(check, "skip", "not at the listener itself"),
  ),
  answers: [],
});

async function lookWithProbes(patient: Patient, isQuick: boolean): Promise<Finding[]> {
  const { proxy, outside } = patient;
  const arriving = observeArrival(patient).then((seen) => ({ seen, nowMs: outside.now() }));
  const [arrival, streaming, longPoll] = await Promise.all([
    arriving,
    observeStreaming(patient),
    isQuick ? null : observeLongPoll(patient),
  ]);
  const { echo } = arrival.seen;
  return [
    ...judgeArrival(arrival.seen, proxy),
    ...judgeClock({ echo: echo.ok ? echo.answer : null, nowMs: arrival.nowMs }),
    ...judgeStreaming(streaming, proxy),
    ...(longPoll === null ? [finding("long-polls", "skip", "left out by --quick")] : judgeLongPoll(longPoll, proxy)),
  ];
}

const NEEDS_PROBES: readonly CheckName[] = ["arrival", "request-size", "streaming", "long-polls", "clock"];

const withoutProbes = (): Finding[] =>
  NEEDS_PROBES.map((check) => finding(check, "skip", `${PROBE_PATH} does not reach Glissade`));

async function lookInside(inside: Inside, { outside, newMark }: ExamineOptions): Promise<Finding[]> {
  const homeserver: Patient = { ...inside.homeserver, isBelieved: false, outside, newMark, proxy: null };
  const [seen, database] = await Promise.all([observeHomeserver(homeserver, true), inside.database()]);
  return [...judgeHomeserver(seen), ...judgeDatabase(database)];
}

function proxyAmong({ anybody }: VersionsSeen, endpoints: readonly EndpointSeen[]): ProxyKind | null {
  for (const result of [anybody.result, ...endpoints.map(({ post }) => post)]) {
    const proxy = result.ok ? proxyOf(result.answer) : null;
    if (proxy !== null) return proxy;
  }
  return null;
}

/** What web clients read. */
function answersAmong({ anybody }: VersionsSeen, endpoints: readonly EndpointSeen[]): NamedAnswer[] {
  const named = [
    { what: `GET ${VERSIONS_PATH}`, result: anybody.result },
    ...endpoints
      .filter(({ isOptional }) => !isOptional)
      .flatMap(({ path, post, preflight }) => [
        { what: `POST ${path}`, result: post },
        { what: `OPTIONS ${path}`, result: preflight },
      ]),
  ];
  return named.flatMap(({ what, result }) => (result.ok ? [{ what, answer: result.answer }] : []));
}
