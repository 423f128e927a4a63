import { SyncError } from "#src/errors.ts";
import { readRoomState } from "#src/homeserver/state-reader.ts";
import type { Metrics } from "#src/ports/basics.ts";
import type { Homeserver, UpstreamFailure } from "#src/ports/homeserver.ts";
import type { RepairReader, RepairStore } from "#src/ports/repair.ts";
import type { DeviceStore, RoomReader } from "#src/ports/stores.ts";
import type { DeviceId, RoomId, StreamPos, UserId } from "#src/protocol/ids.ts";
import { packPollBatch } from "#src/protocol/packed.ts";
import {
  type PollBatch,
  type PolledGone,
  type PolledSnapshot,
  type Rejected,
  newBatch,
} from "#src/protocol/poll-batch.ts";
import { INGEST, pollerAddress } from "#actors/addresses.ts";
import type { IngestCommand } from "#actors/ingest/messages.ts";
import type { PollerCommand } from "#actors/poller/messages.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import type { RoomTask } from "./repair-queue.ts";

/** People in a room that are tried before it is given up. */
const MAX_READERS = 4;
/** A poller may be parked, and wait for the homeserver. */
const POLL_DEADLINE_MS = 120_000;
const STORE_DEADLINE_MS = 60_000;
/** Not of any device: ingest must not take it for the word of one of the user's pollers. */
const NO_DEVICE = "" as DeviceId;

/** What comparing needs of the outside. */
export interface CompareDeps {
  homeserver: Pick<Homeserver, "roomState" | "joinedRooms">;
  store: Pick<RepairStore, "readersOf" | "readerFor" | "joinedRooms">;
  devices: Pick<DeviceStore, "loadDevice">;
  reader: Pick<RoomReader, "loadHead">;
  actors: Pick<ActorContext<never>, "ask">;
}

/** What repairs need of the outside, the actor's own context aside. */
export interface RepairDeps extends Omit<CompareDeps, "actors" | "store"> {
  store: RepairStore;
  metrics: Metrics;
}

/** How comparing a room ended. */
export type Outcome =
  | { kind: "compared" }
  /** Those who were to be in it are not. */
  | { kind: "gone" }
  /** There is nobody by whom it could be read. */
  | { kind: "nobody" }
  | { kind: "refused"; reason: string }
  | { kind: "later"; reason: string; retryAfterMs: number };

/** What one reader's try came to; null = try another one. */
type Tried = Outcome | null;

const later = (reason: string, retryAfterMs = 0): Outcome => ({ kind: "later", reason, retryAfterMs });

/** Reads a room's state from the homeserver, with the token of somebody who is in it, and has what differs mended. */
export async function compareRoom(deps: CompareDeps, task: RoomTask): Promise<Outcome> {
  const readers = await deps.store.readersOf(task.roomId, MAX_READERS);
  const own = task.userId === null ? null : await deps.store.readerFor(task.userId);
  const inOrder = own === null ? readers : [own, ...readers.filter(({ userId }) => userId !== own.userId)];
  let last: Outcome = { kind: "nobody" };
  for (const reader of inOrder) {
    const tried = await compareAs(deps, task, reader);
    if (tried === null) continue;
    // Whoever is gone says nothing about the others.
    if (tried.kind !== "gone" && tried.kind !== "refused") return tried;
    if (last.kind !== "gone") last = tried;
  }
  return last;
}

async function compareAs(deps: CompareDeps, task: RoomTask, reader: RepairReader): Promise<Tried> {
  const device = await deps.devices.loadDevice(reader.userId, reader.deviceId);
  const accessToken = device?.accessToken ?? null;
  if (accessToken === null) return null;
  const readAt = await deps.reader.loadHead();
  const answer = await deps.homeserver.roomState(accessToken, task.roomId);
  if (!answer.ok) {
    return answer.failure.kind === "refused"
      ? checkJoined(deps, task.roomId, reader, accessToken, readAt, answer.failure.reason)
      : onFailure(answer.failure);
  }
  const read = readRoomState(answer.value, task.roomId);
  if (typeof read === "string") return later(`state unreadable: ${read}`);
  const { state, rejected } = read;
  const own = state.findLast((event) => event.type === "m.room.member" && event.stateKey === reader.userId);
  // Who left is shown the state of that moment: it says nothing of the room as it is.
  if (own?.membership !== "join") {
    return checkJoined(deps, task.roomId, reader, accessToken, readAt, "not a member");
  }
  const { roomId, isForced } = task;
  const section: PolledSnapshot = {
    kind: "snapshot",
    roomId,
    state,
    readAt,
    isWhole: rejected.length === 0,
    isForced,
  };
  return (await settle(deps, reader, section, rejected)) ?? { kind: "compared" };
}

/** The state is not for this user: either the user is in the room no more, or the homeserver has a reason of its own. */
async function checkJoined(
  deps: CompareDeps,
  roomId: RoomId,
  reader: RepairReader,
  accessToken: string,
  readAt: StreamPos,
  reason: string,
): Promise<Tried> {
  const joined = await deps.homeserver.joinedRooms(accessToken);
  if (!joined.ok) return onFailure(joined.failure);
  if (joined.value.includes(roomId)) return { kind: "refused", reason };
  return (await settle(deps, reader, { kind: "gone", roomId, readAt }, [])) ?? { kind: "gone" };
}

function onFailure(failure: UpstreamFailure): Tried {
  // A dead token is the poller's to find out.
  if (failure.kind === "auth") return null;
  return failure.kind === "refused"
    ? { kind: "refused", reason: failure.reason }
    : later(failure.reason, failure.retryAfterMs);
}

/**
 * Has what was read stored, behind everything that the homeserver had for the reader by then: an event on its way belongs into
 * a timeline, and must not be taken for one that never comes.
 */
async function settle(
  deps: CompareDeps,
  { userId, deviceId }: RepairReader,
  section: PolledSnapshot | PolledGone,
  rejected: Rejected[],
): Promise<Tried> {
  const through: Omit<Extract<PollerCommand, { type: "poll-through" }>, "reply"> = { type: "poll-through" };
  try {
    await deps.actors.ask(pollerAddress(userId, deviceId), through, { deadlineMs: POLL_DEADLINE_MS });
    const packed = packPollBatch(repairBatch(userId, section, rejected));
    const store: Omit<Extract<IngestCommand, { type: "store-batch" }>, "reply"> = { type: "store-batch", packed };
    await deps.actors.ask(INGEST, store, { deadlineMs: STORE_DEADLINE_MS, transfer: [packed.bytes.buffer] });
    return null;
  } catch (error) {
    if (error instanceof SyncError) return later(error.code);
    throw error;
  }
}

const repairBatch = (userId: UserId, section: PolledSnapshot | PolledGone, rejected: Rejected[]): PollBatch =>
  newBatch(userId, NO_DEVICE, { rooms: [section], rejected });
