import type { Route } from "../router.ts";
import type { ServerParts } from "../server-parts.ts";
import { parseToken } from "../stream.ts";
import { asJson, MatrixError, notFound } from "../wire.ts";

/** Keys and to-device messages. */
export function keyRoutes(parts: ServerParts): Route[] {
  const { keys, rooms } = parts;
  return [
    {
      method: "POST",
      path: "/keys/upload",
      handle: async (context) => {
        const body = await context.json();
        const { account, device } = context.session();
        return keys.upload(account, device, body);
      },
    },
    {
      method: "POST",
      path: "/keys/query",
      handle: async (context) => keys.query(context.session().account, await context.json()),
    },
    {
      method: "POST",
      path: "/keys/claim",
      handle: async (context) => {
        context.session();
        return keys.claim(await context.json());
      },
    },
    {
      method: "GET",
      path: "/keys/changes",
      handle: (context) => {
        const { account } = context.session();
        const { pos } = parseToken(context.query.get("from") ?? "");
        const sharers = rooms.sharers(account);
        return { changed: keys.changedAfter(pos).filter((userId) => sharers.has(userId)), left: [] };
      },
    },
    {
      method: "POST",
      path: "/keys/signatures/upload",
      handle: async (context) => {
        context.session();
        return keys.uploadSignatures(await context.json());
      },
    },
    {
      method: "POST",
      path: "/keys/device_signing/upload",
      handle: async (context) => {
        const body = await context.json();
        keys.uploadCrossSigning(context.session().account, body);
        return {};
      },
    },
    {
      method: "GET",
      path: "/room_keys/version",
      handle: (context) => {
        context.session();
        throw notFound("No current backup version");
      },
    },
    {
      method: "POST",
      path: "/room_keys/version",
      handle: () => {
        throw new MatrixError(403, "M_FORBIDDEN", "There is no key backup here");
      },
    },
    {
      method: "PUT",
      path: "/sendToDevice/:type/:txnId",
      handle: (context) =>
        context.once(({ account }, body) => {
          keys.sendToDevice(account.userId, context.param("type"), asJson(body["messages"]));
          return {};
        }),
    },
  ];
}
