import { adviceFor } from "../advice.ts";
import type { Finding } from "../finding.ts";
import { finding } from "../finding.ts";
import type { OutsideResult } from "../outside.ts";
import { jsonOf } from "../outside.ts";
import { askPatient, maySendToken } from "../patient.ts";
import type { Patient } from "../patient.ts";
import type { ProxyKind } from "../proxy-kind.ts";

const MIB = 1024 * 1024;
/** What Synapse takes where nobody has said otherwise. */
const USUAL_MIB = 50;

/** What was said to an upload of a certain size. */
export interface UploadSeen {
  bytes: number;
  /** The size is the homeserver's own limit, and not only the usual one. */
  isTold: boolean;
  result: OutsideResult;
}

/** Announces an upload and sends nothing of it: who does not want so much says so when it hears how much it is. */
export async function observeUploadSize(patient: Patient, token: string | null): Promise<UploadSeen> {
  const told = token === null ? null : await toldLimit(patient, token);
  const bytes = told ?? USUAL_MIB * MIB;
  const result = await askPatient(patient, {
    method: "POST",
    path: "/_matrix/media/v3/upload?filename=doctor",
    headers: { "content-type": "application/octet-stream" },
    claimedBytes: bytes,
  });
  return { bytes, isTold: told !== null, result };
}

/** What the homeserver tells those who have an account. */
async function toldLimit(patient: Patient, token: string): Promise<number | null> {
  if (!maySendToken(patient)) return null;
  const result = await askPatient(patient, {
    method: "GET",
    path: "/_matrix/client/v1/media/config",
    headers: { authorization: `Bearer ${token}` },
    isSecret: true,
  });
  const limit = result.ok ? jsonOf(result.answer)?.["m.upload.size"] : null;
  return typeof limit === "number" && Number.isSafeInteger(limit) && limit > 0 ? limit : null;
}

/** Whether somebody on the way minds what the homeserver takes. */
export function judgeUploadSize({ bytes, isTold, result }: UploadSeen, proxy: ProxyKind | null): readonly Finding[] {
  const size = `${Math.ceil(bytes / MIB)} MiB`;
  const whose = isTold ? ", which is what the homeserver takes" : "";
  if (!result.ok || result.answer.status !== 413) {
    return [finding("upload-size", "ok", `nobody on the way minds an upload of ${size}${whose}`)];
  }
  // The homeserver's own limit is the operator's choice, and clients know it.
  if (jsonOf(result.answer)?.["errcode"] === "M_TOO_LARGE") {
    return [finding("upload-size", "ok", `the homeserver itself takes less than ${size}, and tells clients how much`)];
  }
  const text = `the reverse proxy refuses an upload of ${size}${whose}: clients can send less than the homeserver tells them`;
  return [finding("upload-size", "warn", text, adviceFor("upload-size", proxy))];
}
