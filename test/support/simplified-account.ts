import type { DialectName } from "#src/protocol/dialects/dialect.ts";
import type { FrontRig } from "./front-rig.ts";
import type { Session } from "./homeserver.ts";
import { SimplifiedClient } from "./simplified-client.ts";

/** An account of a rig, with a client of it. */
export interface SimplifiedAccount {
  me: Session;
  client: SimplifiedClient;
  id: string;
  /** Id of its room of that name. */
  room: (name: string) => string;
}

let accounts = 0;

/** A new account in rooms of its own, the last of which is the most recent. */
export function accountInRooms(
  rig: FrontRig,
  names: readonly string[],
  dialect: DialectName = "simplified",
): SimplifiedAccount {
  accounts += 1;
  const localpart = `user${accounts}`;
  const id = `@${localpart}:test`;
  const own = names.map((name) => `${localpart}-${name}`);
  const me = rig.account(localpart, rig.joined(id, own));
  return { me, client: new SimplifiedClient(rig, me, dialect), id, room: (name) => `!${localpart}-${name}:test` };
}
