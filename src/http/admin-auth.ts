import { createHash, timingSafeEqual } from "node:crypto";
import { SyncError } from "#src/errors.ts";

const hashOf = (text: string): Buffer => createHash("sha256").update(text).digest();

/** Checks operators' requests; takes as long for a wrong token as for the right one. */
export function operatorCheck(token: string | null): (request: Request) => void {
  // Whoever may open the unix socket is an operator.
  if (token === null) return () => undefined;
  const wanted = hashOf(token);
  return (request) => {
    const given = /^bearer +(\S+)\s*$/i.exec(request.headers.get("authorization") ?? "")?.[1];
    if (given === undefined) throw new SyncError("missing_token", "send the admin token: Authorization: Bearer …");
    if (!timingSafeEqual(hashOf(given), wanted)) throw new SyncError("unknown_token", "this is not the admin token");
  };
}
