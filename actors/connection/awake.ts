import { SyncError } from "#src/errors.ts";
import type { Dialect } from "#src/protocol/dialects/dialect.ts";
import { type CursorSnapshot, EMPTY_SNAPSHOT, lifeOf, newLife } from "#src/protocol/engine/proof.ts";
import type { Engine } from "#src/protocol/engine/engine-api.ts";
import type { PositionLog } from "#src/protocol/engine/position-log.ts";
import type { KeptResponse } from "#src/protocol/engine/response-log.ts";
import { DIRTY_USER } from "#src/protocol/engine/world.ts";
import { begunExtensions, encodeLoosePos, LOOSE } from "#src/protocol/loose-pos.ts";
import { encodePos, mappedMac, type Mac, type PosClaims } from "#src/protocol/pos.ts";
import type { SyncRequest } from "#src/protocol/request.ts";
import { EMPTY_PARAMS } from "#src/protocol/sticky.ts";
import type { Rng } from "#src/ports/basics.ts";
import type { StoredConnection } from "#src/ports/stores.ts";
import type { DeviceReader } from "#actors/user/live-device.ts";
import type { UserLink } from "#actors/user/user-link.ts";
import type { Written } from "./connection-record.ts";
import type { Arrival } from "./current-request.ts";
import type { BuiltResponse } from "./response-work.ts";
import { ParamsHistory } from "./stored-params.ts";

/** A connection's memory while it is awake. */
export interface Awake extends Written {
  engine: Engine;
  dialect: Dialect;
  log: PositionLog;
  reader: DeviceReader;
  /** The request whose parameters are in force, as `requestText` has it; null when that is not known. */
  inForce: string | null;
  /** The position of an earlier life that this one was made from: it is where its own log begins. */
  takenUpFrom: PosClaims | null;
}

/** A connection of which nothing is stored: a new one, or one whose `pos` says all there is to know. */
export function begin(
  dialect: Dialect,
  claims: PosClaims | null,
  link: UserLink,
  reader: DeviceReader,
  rng: Rng,
): Awake {
  return claims === null ? startOver(dialect, link, reader, rng) : goOn(dialect, claims, link, reader, rng);
}

/** A connection that has told its client nothing. */
function startOver(dialect: Dialect, link: UserLink, reader: DeviceReader, rng: Rng): Awake {
  return {
    dialect,
    incarnation: Math.floor(rng.next() * 2 ** 48).toString(36),
    engine: dialect.policy.makeEngine(link.position, newLife(rng.next())),
    log: dialect.policy.makeLog(0),
    params: new ParamsHistory(),
    reader,
    inForce: null,
    takenUpFrom: null,
  };
}

/** Goes on from a position that says everything of a connection without rooms. */
function goOn(dialect: Dialect, claims: PosClaims, link: UserLink, reader: DeviceReader, rng: Rng): Awake {
  const awake = startOver(dialect, link, reader, rng);
  // One that is ahead is of a database that was set back: there is no more to say than what is there.
  awake.engine.begin(Math.min(claims.streamPos, link.position), begunExtensions(claims));
  awake.engine.markUserDirty(DIRTY_USER.accountData | DIRTY_USER.device | DIRTY_USER.toDevice);
  return awake;
}

/** Takes a connection up again from what is stored and what the client's `pos` proves; null when that is not enough. */
export function takeUp(
  dialect: Dialect,
  stored: StoredConnection | null,
  claims: PosClaims,
  link: UserLink,
  reader: DeviceReader,
  rng: Rng,
): Awake | null {
  if (stored === null || stored.incarnation !== claims.incarnation) return null;
  const params = ParamsHistory.parse(stored.params);
  const inForce = params.at(claims.seq);
  if (inForce === null) return null;
  // A position ahead of the database is of a database that was set back: it proves nothing.
  const isAhead = claims.streamPos > link.position;
  const engine = dialect.policy.makeEngine(link.position, newLife(rng.next()));
  const cursors = stored.cursors === null || isAhead ? EMPTY_SNAPSHOT : (JSON.parse(stored.cursors) as CursorSnapshot);
  const streamPos = isAhead ? link.position : claims.streamPos;
  const claim = { ...claims, streamPos, areParamsServed: inForce.isServed };
  engine.restore(link.user, inForce.params, cursors, claim);
  engine.markUserDirty(DIRTY_USER.accountData | DIRTY_USER.device | DIRTY_USER.toDevice);
  reader.device.wasReading(reader.connId, stored);
  const log = dialect.policy.makeLog(claims.seq);
  return { dialect, incarnation: claims.incarnation, engine, log, params, reader, inForce: null, takenUpFrom: claims };
}

/** The position is of this connection, but of an earlier life of its memory, and not the one this life began from. */
export function isOtherLife({ incarnation, engine, takenUpFrom }: Awake, claims: PosClaims): boolean {
  if (incarnation !== claims.incarnation || lifeOf(engine.generation) === lifeOf(claims.generation)) return false;
  return takenUpFrom?.seq !== claims.seq || takenUpFrom.generation !== claims.generation;
}

/** It is seen before a request is served that its `pos` is none to go on from. */
export function isHopeless({ command, claims }: Arrival, awake: Awake | null): boolean {
  if (command.pos === null) return false;
  if (claims === null) return true;
  if (awake === null || claims.incarnation === LOOSE || isOtherLife(awake, claims)) return false;
  return awake.incarnation !== claims.incarnation || !awake.log.knows(claims.seq);
}

/** What was built says nothing, and is in no response. */
export function noteUnsaid({ dialect, engine, log }: Awake, { draft, pages }: BuiltResponse): void {
  engine.noteUnsaid(draft, log.nextSeq, pages.heads);
  if (!dialect.policy.areParamsSticky) pages.noteMembers();
}

/** What was built is in the next response; `answerSeq`: the one that goes out before it, where there is one to repeat. */
export function noteSent(
  { dialect, engine, log, params, reader }: Awake,
  { draft, pages, toDeviceUpTo }: BuiltResponse,
  answerSeq: number | null,
): { seq: number; isNewParams: boolean } {
  const seq = log.nextSeq;
  engine.noteSent(draft, seq, pages.heads);
  pages.noteMembers();
  reader.device.toDeviceSent(toDeviceUpTo);
  const served = dialect.policy.areParamsSticky ? engine.params : EMPTY_PARAMS;
  return { seq, isNewParams: params.record(seq, served, log.ackedSeq, answerSeq ?? seq) };
}

/** Writes response `seq` out. */
export function writeResponse(
  awake: Awake,
  link: UserLink,
  { draft, pages, written, rooms, extensions, behind }: BuiltResponse,
  { seq, txnId, isLoose }: { seq: number; txnId: string | undefined; isLoose: boolean },
  mac: Mac,
): KeptResponse {
  const { dialect, incarnation, engine } = awake;
  const claims = { incarnation, seq, streamPos: draft.upTo, generation: engine.generation, behind };
  const pos = isLoose
    ? encodeLoosePos(draft.upTo, (name) => engine.extensionSince(name) !== null, mac)
    : encodePos(claims, mac);
  const body = dialect.encode(
    { pos, txnId, lists: draft.lists, written, rooms, extensions },
    (nid) => link.user.meta(nid)?.roomId ?? "",
  );
  return { seq, pos, body, rooms: pages.nids.length, ops: draft.lists.reduce((sum, list) => sum + list.ops.length, 0) };
}

/**
 * The answer to a request that was not processed, because its client hung up or sent another one: nothing has happened, and the
 * client, if it still listens, may go on from where it was.
 */
export function emptyResponse(
  dialect: Dialect,
  pos: string | null,
  awake: Awake | null,
  mac: Mac,
): Omit<KeptResponse, "seq"> {
  const lists = (awake?.engine.lists() ?? []).map(({ key, count }) => ({ key, count, ops: [] }));
  const posOut = pos ?? encodePos({ incarnation: "0", seq: 0, streamPos: 0, generation: 0, behind: [] }, mac);
  const body = dialect.encode({ pos: posOut, txnId: undefined, lists, rooms: [], extensions: {} }, () => "");
  return { pos: posOut, body, rooms: 0, ops: 0 };
}

/**
 * Applies a request's parameters; why it is refused, when the connection would have to remember too much: nothing of it is kept then.
 * Nearly all requests ask for what the one before them asked for, in whatever dialect: `text` is from `requestText`.
 */
export function takeParams(awake: Awake, link: UserLink, request: SyncRequest, text: string): SyncError | null {
  const { engine, log, inForce } = awake;
  if (inForce === text) return null;
  awake.inForce = null;
  try {
    engine.applyRequest(link.user, request);
    awake.inForce = text;
    return null;
  } catch (error) {
    // Anything else is a bug, and the turn's to report.
    if (!(error instanceof SyncError) || error.code !== "invalid_param") throw error;
    log.refuse();
    return error;
  }
}

/** Answers to the acknowledged position were lost: all is as it was before them, but for the parameters, which are made to fit again. */
export function takeBack(awake: Awake, link: UserLink): void {
  awake.engine.takeBack(link.user);
  awake.inForce = null;
}

/** A position is of one connection; those of the first dialect say so by their incarnation alone. */
export const macOf = ({ connScope }: Dialect, key: string, mac: Mac): Mac =>
  rememberingLast(connScope === "" ? mac : mappedMac(mac, (text) => `${key}\n${text}`));

/** The next position a client comes with is nearly always the last one that was made. */
function rememberingLast(mac: Mac): Mac {
  let last: { text: string; digest: string } | null = null;
  const remembering = (text: string): string => {
    if (last?.text !== text) last = { text, digest: mac(text) };
    return last.digest;
  };
  return mac.before === undefined ? remembering : Object.assign(remembering, { before: mac.before });
}
