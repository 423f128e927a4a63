import { ConnectionEngine } from "../engine/engine.ts";
import { hasExtensionData } from "../engine/extensions.ts";
import { ResponseLog } from "../engine/response-log.ts";
import { readSyncTimeout } from "../sync-timeout.ts";
import type { Dialect } from "./dialect.ts";
import { readSyncRequest } from "./msc3575-request.ts";
import { encodeMsc3575, encodeMsc3575Rooms } from "./msc3575-response.ts";

/** Without a `timeout` a request waits this long. */
const DEFAULT_TIMEOUT_MS = 10_000;

/** MSC3575 as the Go sliding sync proxy speaks it. */
export const MSC3575: Dialect = {
  name: "msc3575",
  connScope: "",
  paths: ["/_matrix/client/unstable/org.matrix.msc3575/sync", "/_matrix/client/v3/sync"],
  errorText: "with-status",
  isBodyLoose: true,
  parse: (json, { pos, timeout }) => ({
    request: readSyncRequest(json),
    pos: pos === undefined || pos === "" ? null : pos,
    timeoutMs: () => readSyncTimeout(timeout, DEFAULT_TIMEOUT_MS),
  }),
  policy: {
    makeLog: (seq) => new ResponseLog(seq),
    makeEngine: (streamPos, generation) => new ConnectionEngine(streamPos, generation),
    areParamsSticky: true,
    firstWaits: true,
    answersCutShort: true,
    hasLooseRequests: false,
    hasExtensionData,
  },
  encode: encodeMsc3575,
  encodeRooms: encodeMsc3575Rooms,
};
