import { VERSIONS_PATH } from "#src/http/front-paths.ts";
import { PROBE_HEADER } from "#src/http/probes.ts";
import { adviceFor } from "../advice.ts";
import type { Finding } from "../finding.ts";
import { finding } from "../finding.ts";
import type { OutsideResult } from "../outside.ts";
import { askPatient } from "../patient.ts";
import type { Patient } from "../patient.ts";
import type { ProxyKind } from "../proxy-kind.ts";
import { isOurs } from "./sync-paths.ts";

/** What was said at one of the addresses that a name has. */
export interface AddressSeen {
  address: string;
  mark: string;
  result: OutsideResult;
}

const DEADLINE_MS = 8000;
/** Names have a few; beyond that nobody reads on. */
const MOST_ADDRESSES = 8;
/** The system's words for an address that cannot be tried from here. */
const NO_WAY = /^(?:ENETUNREACH|EADDRNOTAVAIL|EAFNOSUPPORT|EINVAL)$/;

/** Asks at every address: clients choose one of them, and not the one that works. */
export async function observeAddresses(patient: Patient): Promise<AddressSeen[]> {
  // A machine's name for itself has addresses that nobody else uses.
  if (patient.origin.socketPath !== undefined || patient.origin.host === "localhost") return [];
  const addresses = await patient.outside.addressesOf(patient.origin);
  return Promise.all(
    addresses.slice(0, MOST_ADDRESSES).map(async (address): Promise<AddressSeen> => {
      const mark = patient.newMark();
      const request = {
        method: "GET",
        path: VERSIONS_PATH,
        headers: { [PROBE_HEADER]: mark },
        deadlineMs: DEADLINE_MS,
      };
      return { address, mark, result: await askPatient(patient, { ...request, address }) };
    }),
  );
}

/** Whether it is the same server at all of them. */
export function judgeAddresses(seen: readonly AddressSeen[], proxy: ProxyKind | null): readonly Finding[] {
  if (seen.length === 0) return [];
  const tried = seen.filter(({ result }) => result.ok || !NO_WAY.test(result.reason));
  const untried = seen.filter((each) => !tried.includes(each)).map(({ address }) => address);
  const good = tried.filter(({ result }) => result.ok);
  const isGlissade = tried.some(({ result, mark }) => isOurs(result, mark));
  const findings = tried.flatMap(({ address, mark, result }) => {
    if (!result.ok) {
      const text = `${address} does not answer (${result.reason}): clients that choose it do not get through`;
      return [finding("reach", "fail", text, adviceFor("addresses", proxy))];
    }
    if (isOurs(result, mark) || !isGlissade) return [];
    const text = `at ${address} somebody else answers, elsewhere it is Glissade`;
    return [finding("reach", "fail", text, adviceFor("addresses", proxy))];
  });
  if (findings.length > 0) return findings;
  const rest = untried.length === 0 ? "" : `; ${untried.join(", ")} cannot be tried from here`;
  return [finding("reach", "ok", `answers at ${good.map(({ address }) => address).join(", ")}${rest}`)];
}
