import { SYNC_ENDPOINTS } from "#src/http/front-paths.ts";
import type { Finding } from "../finding.ts";
import { finding, orGood } from "../finding.ts";
import type { OutsideResult } from "../outside.ts";
import { jsonOf } from "../outside.ts";
import { askPatient, maySendToken } from "../patient.ts";
import type { Patient } from "../patient.ts";

/** A first sync may take long; whoever waits longer has another problem. */
const SYNC_DEADLINE_MS = 180_000;
/** No other connection is called so, and none is disturbed. */
const CONN_ID = "glissade-doctor";

/** What became of an account's own requests. */
export interface AccountSeen {
  whoami: OutsideResult;
  syncs: readonly { path: string; result: OutsideResult }[];
  /** A classic sync of one room; null where there is none to ask for. */
  classic: OutsideResult | null;
}

/** Syncs with a token, in every dialect; null where the token could be read by others. */
export async function observeAccount(patient: Patient, token: string): Promise<AccountSeen | null> {
  if (!maySendToken(patient)) return null;
  const ask = (method: string, path: string, body?: string): Promise<OutsideResult> =>
    askPatient(patient, {
      method,
      path,
      headers: {
        authorization: `Bearer ${token}`,
        ...(body === undefined ? {} : { "content-type": "application/json" }),
      },
      ...(body === undefined ? {} : { body }),
      isSecret: true,
      deadlineMs: SYNC_DEADLINE_MS,
    });
  const whoami = await ask("GET", "/_matrix/client/v3/account/whoami");
  // Where only our own paths are served there is nobody to ask.
  if (!whoami.ok || (whoami.answer.status !== 200 && whoami.answer.status !== 404))
    return { whoami, syncs: [], classic: null };
  const syncs: { path: string; result: OutsideResult }[] = [];
  for (const { path, isShared } of SYNC_ENDPOINTS) {
    if (!isShared)
      syncs.push({ path, result: await ask("POST", `${path}?timeout=0`, JSON.stringify({ conn_id: CONN_ID })) });
  }
  return { whoami, syncs, classic: await classicSync(ask) };
}

/** One room is enough to see whether state comes with it as it is after the timeline. */
async function classicSync(
  ask: (method: string, path: string) => Promise<OutsideResult>,
): Promise<OutsideResult | null> {
  const joined = await ask("GET", "/_matrix/client/v3/joined_rooms");
  const rooms = joined.ok ? jsonOf(joined.answer)?.["joined_rooms"] : null;
  if (!Array.isArray(rooms) || rooms.length === 0) return null;
  const nothing = { types: [] };
  const room = {
    rooms: [rooms[0] as unknown],
    timeline: { limit: 1 },
    state: { types: ["m.room.create"] },
    ephemeral: nothing,
  };
  const filter = JSON.stringify({ presence: nothing, account_data: nothing, room });
  const query = new URLSearchParams({ timeout: "0", set_presence: "offline", filter, use_state_after: "true" });
  query.set("org.matrix.msc4222.use_state_after", "true");
  return ask("GET", `/_matrix/client/v3/sync?${query.toString()}`);
}

/** Whether somebody with an account can sync. */
export function judgeAccount(seen: AccountSeen | null): readonly Finding[] {
  const say = (level: Finding["level"], text: string, ...advice: string[]): Finding =>
    finding("account", level, text, ...advice);
  if (seen === null)
    return [say("skip", "a token is not sent without TLS, or where a file leads that nobody vouches for")];
  const { whoami, syncs, classic } = seen;
  if (!whoami.ok) return [say("skip", `the token was not sent, or not answered to (${whoami.reason})`)];
  const userId = jsonOf(whoami.answer)?.["user_id"];
  if (whoami.answer.status !== 404 && typeof userId !== "string") {
    return [
      say(
        "fail",
        `the homeserver does not take the token (${whoami.answer.status})`,
        "the file has to hold the access token of an account here, and nothing else",
      ),
    ];
  }
  const findings = syncs.flatMap(({ path, result }) => {
    const problem = syncProblem(result);
    if (problem === null) return [];
    const isForeign = result.ok && result.answer.status === 401;
    return [
      say(
        "fail",
        `${path} ${problem}`,
        isForeign ? "SYNCV3_SERVER is another homeserver than the one clients log in to" : "look at Glissade's log",
      ),
    ];
  });
  const good = orGood(
    findings,
    "account",
    `${typeof userId === "string" ? userId : "the account"} syncs in every dialect`,
  );
  return classic === null ? good : [...good, judgeStateAfter(classic)];
}

function syncProblem(result: OutsideResult): string | null {
  if (!result.ok) return `is not answered (${result.reason})`;
  if (result.answer.status === 404) return null;
  const json = jsonOf(result.answer);
  if (result.answer.status === 200 && typeof json?.["pos"] === "string") return null;
  const errcode = typeof json?.["errcode"] === "string" ? json["errcode"] : "";
  return `is answered ${result.answer.status} ${errcode}`.trimEnd();
}

/** Without it Glissade has to find out for itself what state resolution did. */
function judgeStateAfter(classic: OutsideResult): Finding {
  const text = classic.ok ? classic.answer.text : "";
  if (/"(?:org\.matrix\.msc4222\.)?state_after"/.test(text)) {
    return finding("account", "ok", "the homeserver tells the state after the timeline (MSC4222)");
  }
  return finding(
    "account",
    "ok",
    "the homeserver does not tell the state after the timeline (MSC4222): Glissade compares rooms with it instead",
    "on Synapse: experimental_features: { msc4222_enabled: true } in homeserver.yaml saves that work",
  );
}
