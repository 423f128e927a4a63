import { Elysia } from "elysia";
import { jsonReply, preflightReply } from "./reply.ts";

/** What `/client/server.json` tells. */
export interface ServerInfo {
  /** The homeserver as configured. */
  server: string;
  version: string;
}

/** `/client/server.json`: which homeserver is behind this, and which version of us is before it; by any method. */
export function serverRoutes(deps: { serverInfo: ServerInfo }) {
  const { server, version } = deps.serverInfo;
  return new Elysia().all("/client/server.json", ({ request }) =>
    request.method === "OPTIONS" ? preflightReply() : jsonReply(200, { server, version }),
  );
}
