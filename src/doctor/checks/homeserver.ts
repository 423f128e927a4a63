import { PROBE_HEADER } from "#src/http/probes.ts";
import { VERSIONS_PATH } from "#src/http/front-paths.ts";
import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";
import type { OutsideResult } from "../outside.ts";
import { jsonOf } from "../outside.ts";
import { askPatient } from "../patient.ts";
import type { Patient } from "../patient.ts";
import { PROBE_PATH } from "../probe-path.ts";
import { isOurs } from "./sync-paths.ts";

const SIMPLIFIED = "org.matrix.simplified_msc3575";

/** What a homeserver tells of itself. */
export interface HomeserverSeen {
  /** Asked at its own address, as Glissade does; else through the public one. */
  isDirect: boolean;
  versions: OutsideResult;
  /** Which software it is. */
  software: OutsideResult;
  /** A sync without a token, and its mark; null where the answer would be Glissade's in any case. */
  sync: { mark: string; result: OutsideResult } | null;
}

/** Asks it what it is; `patient` is the homeserver itself where its own address is known. */
export async function observeHomeserver(patient: Patient, isDirect: boolean): Promise<HomeserverSeen> {
  const mark = patient.newMark();
  const [versions, software, sync] = await Promise.all([
    askPatient(patient, { method: "GET", path: VERSIONS_PATH }),
    askPatient(patient, { method: "GET", path: "/_matrix/federation/v1/version" }),
    isDirect
      ? askPatient(patient, {
          method: "POST",
          path: PROBE_PATH,
          headers: { [PROBE_HEADER]: mark, "content-type": "application/json" },
          body: "{}",
        })
      : null,
  ]);
  return { isDirect, versions, software, sync: sync === null ? null : { mark, result: sync } };
}

/** Which homeserver it is, and what of it matters here. */
export function judgeHomeserver({ isDirect, versions, software, sync }: HomeserverSeen): readonly Finding[] {
  const say = (level: Finding["level"], text: string, ...advice: string[]): Finding =>
    finding("homeserver", level, text, ...advice);
  const start = "start it, and compare SYNCV3_SERVER with the address it listens on";
  if (!versions.ok) {
    const where = isDirect ? "at SYNCV3_SERVER " : "";
    return [
      say(
        isDirect ? "fail" : "skip",
        `the homeserver ${where}cannot be asked (${versions.reason})`,
        ...(isDirect ? [start] : []),
      ),
    ];
  }
  if (sync !== null && isOurs(sync.result, sync.mark)) {
    const advice = "set it to the homeserver's own address, for example http://127.0.0.1:8008";
    return [say("fail", "SYNCV3_SERVER leads back to Glissade", advice)];
  }
  const { answer } = versions;
  const json = jsonOf(answer);
  const listed = Array.isArray(json?.["versions"]) ? json["versions"].filter((each) => typeof each === "string") : null;
  if (answer.status >= 500)
    return [say("fail", `the homeserver is down: ${VERSIONS_PATH} is answered ${answer.status}`, start)];
  if (answer.status !== 200 || listed === null) {
    const text = `${VERSIONS_PATH} is answered ${answer.status} without a list of versions`;
    return [
      say(
        isDirect ? "fail" : "skip",
        text,
        ...(isDirect ? ["SYNCV3_SERVER has to be the address of a Matrix homeserver"] : []),
      ),
    ];
  }
  const findings: Finding[] = [];
  if (isDirect && (json?.["unstable_features"] as Record<string, unknown> | undefined)?.[SIMPLIFIED] === true) {
    const text = `${nameOf(software)} has sliding sync of its own`;
    const advice =
      "whom clients reach is the reverse proxy's choice; a client that changes from one to the other starts over";
    findings.push(say("ok", text, advice));
  }
  return orGood(findings, "homeserver", `${nameOf(software)}, ${spokenOf(listed)}`);
}

function nameOf(software: OutsideResult): string {
  const server = software.ok ? jsonOf(software.answer)?.["server"] : null;
  const { name, version } = (typeof server === "object" && server !== null ? server : {}) as Record<string, unknown>;
  if (typeof name !== "string") return "a homeserver that does not tell its name";
  // Synapse tells its branch and commit behind it.
  return typeof version === "string" ? `${name} ${version.split(" ")[0] ?? ""}` : name;
}

function spokenOf(versions: readonly string[]): string {
  const newest = versions.findLast((version) => version.startsWith("v"));
  if (newest !== undefined) return `Matrix up to ${newest}`;
  return "older than Matrix 1.1: Glissade uses its r0 paths";
}
