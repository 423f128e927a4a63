import type { Caller } from "./model-node.ts";
import type { ModelHomeserver } from "./model-homeserver.ts";
import type { SimplifiedCaller } from "./simplified-player.ts";

const ALICE = "@alice:hs";
const BOB = "@bob:hs";
const CAROL = "@carol:hs";

/** All devices that are polled. */
export const DEVICES = [`${ALICE}/A1`, `${BOB}/B1`, `${ALICE}/A2`, `${CAROL}/C1`] as const;

const ROOM_EXTENSIONS = ["account_data", "receipts", "typing"];
/** A connection without rooms. */
export const OF_DEVICE = "encryption";
/** Logs in later, when one of its clients asks for the first time. */
export const SECOND_DEVICE = DEVICES[2];

/** Connections of two devices of one user, two of them of one device, and one of another user. */
export const CALLERS: readonly Caller[] = [
  { userId: ALICE, deviceId: "A1", connId: "" },
  { userId: BOB, deviceId: "B1", connId: "" },
  { userId: ALICE, deviceId: "A1", connId: "two" },
  { userId: ALICE, deviceId: "A2", connId: "" },
];
/** Beside them, on the same accounts, clients of the other dialects, with the extensions that they begin with. */
export const SIMPLIFIED_CALLERS: readonly (SimplifiedCaller & { readonly extensions: readonly string[] })[] = [
  { userId: ALICE, deviceId: "A1", connId: "", dialect: "simplified", extensions: ROOM_EXTENSIONS },
  { userId: BOB, deviceId: "B1", connId: "", dialect: "simplified", extensions: ROOM_EXTENSIONS },
  { userId: ALICE, deviceId: "A2", connId: "", dialect: "simplified", extensions: [] },
  { userId: CAROL, deviceId: "C1", connId: "", dialect: "v4", extensions: [...ROOM_EXTENSIONS, "to_device", "e2ee"] },
  { userId: ALICE, deviceId: "A1", connId: "", dialect: "v4", extensions: ROOM_EXTENSIONS },
  // As of an app that reads what is the device's own by itself.
  { userId: BOB, deviceId: "B1", connId: OF_DEVICE, dialect: "simplified", extensions: ["to_device", "e2ee"] },
  { userId: ALICE, deviceId: "A2", connId: "two", dialect: "v4", extensions: ["account_data", "to_device", "e2ee"] },
];

/** Rooms of all kinds, with people of ours and of elsewhere. */
export function populate(hs: ModelHomeserver): void {
  for (const device of DEVICES) {
    const [userId = ""] = device.split("/");
    if (!hs.users.has(userId))
      hs.addUser(
        userId,
        DEVICES.filter((other) => other.startsWith(`${userId}/`)).map((other) => other.split("/")[1] ?? ""),
      );
  }
  for (const name of ["r1", "r2", "r3"]) hs.addUser(`@${name}:remote`, []);
  const users = [...hs.users.keys()];
  const rooms: [creator: number, members: number[], name: string | null][] = [
    [0, [1, 3], "alpha"],
    [1, [0], null],
    [3, [0], null],
    [1, [2, 4], "room of bob"],
    [0, [1, 2, 3, 4], null],
    [0, [1], "a space"],
    [3, [4], "elsewhere"],
  ];
  for (const [index, [creator, members, name]] of rooms.entries()) {
    const id = `!r${index}`;
    const by = users[creator] ?? "";
    hs.createRoom(id, by, index === 5 ? { type: "m.space" } : {});
    if (name !== null) hs.send(id, by, "m.room.name", { name }, { stateKey: "" });
    for (const member of members) hs.setMember(id, users[member] ?? "", "join");
    hs.send(id, by, "m.room.message", { body: "hello" });
  }
  for (const child of ["!r0", "!r1"]) hs.send("!r5", ALICE, "m.space.child", { via: ["hs"] }, { stateKey: child });
  hs.setAccountData(ALICE, "", "m.direct", { [BOB]: ["!r1"] });
}
