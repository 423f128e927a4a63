import type { Origin, Outside, OutsideRequest, OutsideResult } from "./outside.ts";
import type { ProxyKind } from "./proxy-kind.ts";

/** Whom a doctor looks at, and with what. */
export interface Patient {
  origin: Origin;
  /** Path behind the origin under which the homeserver's paths are; mostly empty. */
  prefix: string;
  /** Whether somebody vouches for it that this is whom the operator means: only then it gets a token. */
  isBelieved: boolean;
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

/** This machine, by whichever of its names; the name of another may begin like one of them. */
const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])$/i;

/** A token goes nowhere where everybody can read it, and to nobody whose address a stranger may have given. */
export const maySendToken = ({ origin: { scheme, host, socketPath }, isBelieved }: Patient): boolean =>
  isBelieved && (scheme === "https" || socketPath !== undefined || LOOPBACK.test(host));

/** Where a web page would be that asks: any other origin. */
export const PAGE_ORIGIN = "https://app.example.org";
