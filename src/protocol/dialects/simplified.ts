import { SyncError } from "../../errors.ts";
import { ForkLog } from "../engine/fork-log.ts";
import { hasRememberedData } from "../engine/remembered-extensions.ts";
import type { RememberingOptions } from "../engine/remembering-api.ts";
import { RememberingEngine } from "../engine/remembering-engine.ts";
import { boundedWait } from "../sync-timeout.ts";
import type { Dialect, Policy } from "./dialect.ts";
import { readSimplified, UNSTABLE_FORM } from "./simplified-request.ts";
import { encodeSimplified, encodeSimplifiedRooms, UNSTABLE_RESPONSE } from "./simplified-response.ts";

/** The policy of both forms of simplified sliding sync. */
export const rememberingPolicy = (options: RememberingOptions): Policy => ({
  makeLog: (seq) => new ForkLog(seq),
  makeEngine: (streamPos, generation) => new RememberingEngine(streamPos, generation, options),
  areParamsSticky: false,
  firstWaits: false,
  answersCutShort: false,
  hasLooseRequests: true,
  hasExtensionData: hasRememberedData,
});

/** Milliseconds a request may wait; none unless it says so. */
export function readWait(timeoutMs: number): number {
  if (!Number.isSafeInteger(timeoutMs) || timeoutMs < 0) throw new SyncError("invalid_param", "timeout is not a count");
  return boundedWait(timeoutMs);
}

const readTimeout = (timeout: string | undefined): number => {
  if (timeout === undefined) return 0;
  return readWait(/^\d+$/.test(timeout) ? Number(timeout) : -1);
};

/** Simplified sliding sync as today's clients speak it. */
export const SIMPLIFIED: Dialect = {
  name: "simplified",
  connScope: "org.matrix.simplified_msc3575:",
  paths: ["/_matrix/client/unstable/org.matrix.simplified_msc3575/sync"],
  errorText: "plain",
  isBodyLoose: false,
  parse: (json, { pos, timeout }) => ({
    request: readSimplified(json, UNSTABLE_FORM),
    pos: pos ?? null,
    timeoutMs: () => readTimeout(timeout),
  }),
  policy: rememberingPolicy({ tellsWindows: true, keepsSelfLeft: false, hidesStrangers: false, tellsAll: false }),
  encode: (response, roomIdOf) => encodeSimplified(response, UNSTABLE_RESPONSE, roomIdOf),
  encodeRooms: (rooms) => encodeSimplifiedRooms(rooms, UNSTABLE_RESPONSE),
};
