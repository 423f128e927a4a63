import { SYNC_ENDPOINTS } from "#src/http/front-paths.ts";

/** Where probes go: the path that most clients use. */
export const PROBE_PATH = SYNC_ENDPOINTS.find(({ dialect }) => dialect === "simplified")?.path ?? "/";

/** A little less than Glissade takes: some hundred subscriptions with all that clients write to each. */
export const SYNC_BODY_BYTES = 900 * 1000;
