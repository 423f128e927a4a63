import type { Account, Session } from "./accounts.ts";
import type { KeyStore } from "./key-store.ts";
import type { Memberships } from "./membership.ts";
import type { Rooms, World } from "./rooms.ts";
import { defaultPushRules } from "./push-rules.ts";
import { MatrixError } from "./wire.ts";

/** How far along the specification the homeserver claims to be. */
export type SpecAge = "modern" | "r0";

/** Everything a route may touch. */
export interface ServerParts extends World {
  readonly rooms: Rooms;
  readonly memberships: Memberships;
  readonly keys: KeyStore;
  readonly specAge: SpecAge;
  /** Whether, and under which name, `state_after` is offered (MSC4222). */
  readonly stateAfter: "off" | "unstable" | "stable";
}

/** A new account with the account data every account has; throws when the name is taken or not a name. */
export function registerAccount(
  parts: ServerParts,
  name: string,
  password: string | null,
  displayName: string | null,
): Account {
  const userId = parts.ids.userId(name);
  if (!/^@[a-z0-9._=\-/+]+:.+$/u.test(userId))
    throw new MatrixError(400, "M_INVALID_USERNAME", "Not a valid user name");
  const account = parts.accounts.create(userId, password, displayName);
  if (account === null) throw new MatrixError(400, "M_USER_IN_USE", "User ID already taken.");
  parts.rooms.setAccountData(account, null, "m.push_rules", { global: defaultPushRules(userId, account.localpart) });
  return account;
}

/** Ends a login and tells those who knew its keys. */
export function logOut(parts: ServerParts, { account, device }: Session): void {
  parts.accounts.removeDevice(account, device.deviceId);
  if (device.deviceKeys !== null) parts.keys.noteChange(account);
  parts.stream.wake([account.userId]);
}
