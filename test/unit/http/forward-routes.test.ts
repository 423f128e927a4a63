import { describe, expect, test } from "bun:test";
import { effectOf, routeClassOf } from "#src/http/forward-routes.ts";
import { isForwarded, pathOf } from "#src/http/front-paths.ts";
import type { RoomId } from "#src/protocol/ids.ts";

const V3 = "/_matrix/client/v3";

describe("isForwarded", () => {
  test("[FWD-1] everything of the homeserver's but what is ours", () => {
    for (const path of [`${V3}/login`, "/_matrix/federation/v1/version", "/_synapse/admin/v1/server_version"]) {
      expect(isForwarded("GET", path)).toBe(true);
    }
    expect(isForwarded("GET", "/.well-known/matrix/client")).toBe(true);
    expect(isForwarded("GET", "/_matrix")).toBe(true);
    for (const path of ["/", "/client/server.json", "/health/ready", "/_matrixx/a", "/.well-known/other", "*"]) {
      expect(isForwarded("GET", path)).toBe(false);
    }
  });

  test("[FWD-2] of a path that both serve, the method decides", () => {
    expect(isForwarded("POST", `${V3}/sync`)).toBe(false);
    for (const method of ["GET", "OPTIONS", "HEAD"]) expect(isForwarded(method, `${V3}/sync`)).toBe(true);
    for (const method of ["GET", "HEAD"]) expect(isForwarded(method, "/_matrix/client/versions")).toBe(false);
    expect(isForwarded("OPTIONS", "/_matrix/client/versions")).toBe(true);
    for (const method of ["GET", "POST", "OPTIONS"]) {
      expect(isForwarded(method, "/_matrix/client/unstable/org.matrix.msc3575/sync")).toBe(false);
    }
  });

  test("[FWD-3] bytes decide, nothing is decoded or resolved", () => {
    for (const path of [`${V3}/x/../sync`, `${V3}/%73ync`, `${V3}/sync/`, `${V3}//sync`, `${V3}/sync;x`]) {
      expect(isForwarded("POST", path)).toBe(true);
    }
    expect(isForwarded("GET", "/client/../_matrix/x")).toBe(false);
    expect([pathOf("/a?b?c#d"), pathOf("/a#b?c"), pathOf("/a%3Fb")]).toEqual(["/a", "/a", "/a%3Fb"]);
  });
});

describe("effectOf", () => {
  const effects = (method: string, paths: readonly string[]): unknown[] =>
    paths.map((path) => effectOf(method, path)?.type ?? null);

  test("[FWD-40] writes that a poll tells of late, or does not tell of while it waits, under every prefix", () => {
    for (const prefix of [
      V3,
      "/_matrix/client/r0",
      "/_matrix/client/v1",
      "/_matrix/client/unstable",
      "/_matrix/client/unstable/org.matrix.msc3391",
    ]) {
      expect(
        effects("POST", [
          `${prefix}/keys/upload`,
          `${prefix}/keys/device_signing/upload`,
          `${prefix}/keys/upload/DEVICE`,
          `${prefix}/rooms/!r%3Ahs/leave`,
          `${prefix}/rooms/!r:hs/join`,
          `${prefix}/join/%23a%3Ahs`,
          `${prefix}/createRoom`,
          `${prefix}/rooms/!r/receipt/m.read/$e`,
          `${prefix}/rooms/!r/read_markers`,
        ]),
      ).toEqual(Array.from({ length: 9 }, () => "news"));
      expect(
        effects("PUT", [
          `${prefix}/user/@a:hs/account_data/m.direct`,
          `${prefix}/user/@a:hs/rooms/!r/account_data/m.x`,
          `${prefix}/user/@a:hs/rooms/!r/tags/m.favourite`,
          `${prefix}/sendToDevice/m.x/txn`,
        ]),
      ).toEqual(Array.from({ length: 4 }, () => "news"));
    }
    expect(effects("DELETE", [`${V3}/user/@a:hs/rooms/!r/tags/m.favourite`])).toEqual(["news"]);
  });

  test("[FWD-40] and nothing else", () => {
    for (const method of ["GET", "HEAD", "OPTIONS"]) {
      expect(effectOf(method, `${V3}/user/@a:hs/account_data/m.direct`)).toBeNull();
    }
    const others = [
      `${V3}/rooms/!r/send/m.room.message/1`,
      `${V3}/keys/query`,
      `${V3}/rooms/!r/typing/@a`,
      "/_matrix/media/v3/upload",
    ];
    for (const method of ["POST", "PUT"]) expect(effects(method, others)).toEqual([null, null, null, null]);
    expect(effects("POST", ["/_matrix/federation/v1/keys/upload", `${V3}/x/keys/upload`])).toEqual([null, null]);
  });

  test("[FWD-41] a room that is forgotten is named, however its id is written", () => {
    const forgotten = { type: "forgot-room", roomId: "!r:hs" as RoomId } as const;
    for (const id of ["!r:hs", "!r%3Ahs", "%21r%3ahs"])
      expect(effectOf("POST", `${V3}/rooms/${id}/forget`)).toEqual(forgotten);
    expect(effectOf("POST", `${V3}/rooms/%zz/forget`)).toEqual({ type: "news" });
  });

  test("[FWD-42] the end of a token, and of all of a user's", () => {
    expect(effects("POST", [`${V3}/logout`, `${V3}/logout/all`, `${V3}/logout/x`])).toEqual([
      "logged-out",
      "logged-out-everywhere",
      null,
    ]);
  });
});

describe("routeClassOf", () => {
  test("[FWD-30] a class names nobody and nothing", () => {
    const classes: Record<string, string> = {
      [`${V3}/sync`]: "sync",
      "/_matrix/client/v1/media/download/hs/abc": "media",
      "/_matrix/media/v3/upload": "media",
      [`${V3}/keys/query`]: "keys",
      [`${V3}/room_keys/version`]: "keys",
      [`${V3}/rooms/!secret:hs/messages`]: "rooms",
      [`${V3}/profile/@secret:hs`]: "client",
      "/_matrix/client/unstable/org.matrix.msc2965/auth_metadata": "client",
      "/_matrix/federation/v1/send/1": "federation",
      "/_matrix/key/v2/server": "federation",
      "/_synapse/admin/v2/users/@secret:hs": "admin",
      "/.well-known/matrix/server": "well-known",
      "/_matrix/app/v1/x": "other",
    };
    for (const [path, route] of Object.entries(classes))
      expect([path, routeClassOf(path)]).toEqual([path, route as never]);
  });
});
