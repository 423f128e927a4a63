import { Elysia } from "elysia";
import { SyncError } from "#src/errors.ts";
import type { Logger } from "#src/ports/basics.ts";
import type { VersionsSource } from "#src/ports/front.ts";
import { VERSIONS_PATH } from "./front-paths.ts";
import { errorReply, messageOf, textReply } from "./reply.ts";

/** What the versions route needs of the outside. */
export interface VersionsRouteDeps {
  versions: VersionsSource;
  log: Logger;
}

/** `GET /_matrix/client/versions`: the homeserver's answer, and what we can do on top. */
export function versionsRoutes({ versions, log }: VersionsRouteDeps) {
  const answer = async ({ request }: { request: Request }): Promise<Response> => {
    try {
      const { status, headers, body } = await versions.versionsFor(tokenOf(request));
      return textReply(status, headers, body);
    } catch (error) {
      const failure = error instanceof SyncError ? error : new SyncError("internal", "no versions", { cause: error });
      log.warn({ path: VERSIONS_PATH, error: messageOf(error) }, "versions could not be told");
      return errorReply(failure);
    }
  };
  return new Elysia().get(VERSIONS_PATH, answer).head(VERSIONS_PATH, answer);
}

/** Anybody may ask; who has a token may be told more. */
function tokenOf(request: Request): string | null {
  const header = /^bearer +(\S+)\s*$/i.exec(request.headers.get("authorization") ?? "")?.[1];
  return header ?? new URL(request.url).searchParams.get("access_token");
}
