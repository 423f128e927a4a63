import { Elysia } from "elysia";
import { jsonReply } from "./reply.ts";

/** What `/client/server.json` tells. */
export interface ServerInfo {
  /** The homeserver as configured. */
  server: string;
  version: string;
}

/** `/client/server.json`: which homeserver is behind this, and which version of us is before it. */
export function serverRoutes(deps: { serverInfo: ServerInfo }) {
  const { server, version } = deps.serverInfo;
  return new Elysia().get("/client/server.json", () => jsonReply(200, { server, version }));
}
