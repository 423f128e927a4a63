import { SyncError } from "../../errors.ts";
import { asObject } from "../json-value.ts";
import { parsePresence } from "../presence.ts";
import type { Dialect } from "./dialect.ts";
import { member, textAt } from "./request-reader.ts";
import { readWait, rememberingPolicy } from "./simplified.ts";
import { readSimplified, V4_FORM } from "./simplified-request.ts";
import { encodeSimplified, encodeSimplifiedRooms, V4_RESPONSE } from "./simplified-response.ts";

const MAX_PRESENCE_BYTES = 255;

/** Simplified sliding sync as MSC4186 was merged: everything is in the body. */
export const V4: Dialect = {
  name: "v4",
  connScope: "_matrix/client/v4/sync:",
  paths: ["/_matrix/client/v4/sync"],
  errorText: "plain",
  isBodyLoose: false,
  parse(json) {
    const request = readSimplified(json, V4_FORM);
    const body = asObject(json) ?? {};
    // Who does not say is there, as in a classic sync.
    const presence = parsePresence(textAt(body, "set_presence", "", MAX_PRESENCE_BYTES) ?? "online");
    if (presence === null) {
      throw new SyncError("invalid_param", "set_presence is none of online, offline and unavailable");
    }
    const timeoutMs = member(body, "timeout") ?? 0;
    // One that is too long is none of ours, like any other that is made up.
    const pos = textAt(body, "pos", "", Number.MAX_SAFE_INTEGER) ?? null;
    return { request, pos, presence, timeoutMs: () => readWait(typeof timeoutMs === "number" ? timeoutMs : -1) };
  },
  policy: rememberingPolicy({ tellsWindows: false, keepsSelfLeft: true, hidesStrangers: true, tellsAll: true }),
  encode: (response, roomIdOf) => encodeSimplified(response, V4_RESPONSE, roomIdOf),
  encodeRooms: (rooms) => encodeSimplifiedRooms(rooms, V4_RESPONSE),
};
