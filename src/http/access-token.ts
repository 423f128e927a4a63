import { SyncError } from "#src/errors.ts";

/** The access token of a request: from `Authorization` (with or without `Bearer`), else from the query. */
export function readAccessToken(authorization: string | null, fromQuery: string | undefined): string {
  const header = (authorization ?? "").trim();
  const token = /^bearer( |$)/i.test(header) ? header.slice("bearer ".length).trim() : header;
  const found = token === "" ? (fromQuery ?? "") : token;
  if (found === "") throw new SyncError("missing_token", "missing Authorization header");
  return found;
}
