import type { Origin, Outside, OutsideRequest, OutsideResult } from "./outside.ts";
import type { ProxyKind } from "./proxy-kind.ts";

/** Whom a doctor looks at, and with what. */
export interface Patient {
  origin: Origin;
  /** Path behind the origin under which the homeserver's paths are; mostly empty. */
  prefix: string;
  outside: Outside;
  /** A new word by which an answer is recognised. */
  newMark: () => string;
  /** The reverse proxy in between, once it is known. */
  proxy: ProxyKind | null;
}

/** Asks the patient for something. */
export function askPatient(patient: Patient, request: OutsideRequest): Promise<OutsideResult> {
  return patient.outside.ask(patient.origin, { ...request, path: patient.prefix + request.path });
}

/** A token goes nowhere where everybody can read it. */
export const maySendToken = ({ origin: { scheme, host, socketPath } }: Patient): boolean =>
  scheme === "https" || socketPath !== undefined || /^(?:localhost|127\.|\[::1\])/.test(host);

/** Where a web page would be that asks: any other origin. */
export const PAGE_ORIGIN = "https://app.example.org";
