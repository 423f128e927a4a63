import { adviceFor } from "../advice.ts";
import type { Finding } from "../finding.ts";
import { finding } from "../finding.ts";
import type { OutsideResult } from "../outside.ts";
import { jsonOf } from "../outside.ts";
import { askPatient } from "../patient.ts";
import type { Patient } from "../patient.ts";
import type { ProxyKind } from "../proxy-kind.ts";

const MIB = 1024 * 1024;
/** What Synapse takes where nobody has said otherwise. */
const USUAL_MIB = 50;

/** Announces an upload and sends nothing of it: who does not want so much says so when it hears how much it is. */
export function observeUploadSize(patient: Patient): Promise<OutsideResult> {
  return askPatient(patient, {
    method: "POST",
    path: "/_matrix/media/v3/upload?filename=doctor",
    headers: { "content-type": "application/octet-stream" },
    claimedBytes: USUAL_MIB * MIB,
  });
}

/** Whether somebody on the way minds an upload of the usual largest size. */
export function judgeUploadSize(seen: OutsideResult, proxy: ProxyKind | null): readonly Finding[] {
  if (!seen.ok || seen.answer.status !== 413) {
    return [finding("upload-size", "ok", `nobody on the way minds an upload of ${USUAL_MIB} MiB`)];
  }
  // The homeserver's own limit is the operator's choice, and clients know it.
  if (jsonOf(seen.answer)?.["errcode"] === "M_TOO_LARGE") {
    return [
      finding(
        "upload-size",
        "ok",
        `the homeserver itself takes less than ${USUAL_MIB} MiB, and tells clients how much`,
      ),
    ];
  }
  const text = `the reverse proxy refuses an upload of ${USUAL_MIB} MiB: clients can send less than the homeserver tells them`;
  return [finding("upload-size", "warn", text, adviceFor("upload-size", proxy))];
}
