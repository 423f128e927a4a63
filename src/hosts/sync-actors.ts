import type { StreamPos } from "#src/protocol/ids.ts";
import type { Mac } from "#src/protocol/pos.ts";
import type { Clock, Logger, Metrics, Timers } from "#src/ports/basics.ts";
import type { ConnectionStore, RoomReader } from "#src/ports/stores.ts";
import { SyncError } from "#src/errors.ts";
import { INGEST } from "#actors/addresses.ts";
import type { TypingRecalled } from "#actors/ingest/messages.ts";
import { ConnectionActor } from "#actors/connection/connection-actor.ts";
import { HistoryReader } from "#actors/connection/history-reader.ts";
import { type RateLimit, RequestBudgets } from "#actors/connection/request-budget.ts";
import type { ConnectionMessage } from "#actors/connection/messages.ts";
import { DirectoryActor } from "#actors/directory/directory-actor.ts";
import type { DirectoryEvent, DirectoryMessage } from "#actors/directory/messages.ts";
import { RoomDirectory } from "#actors/directory/room-directory.ts";
import type { ActorKind, KindTable } from "#actors/runtime/actor.ts";
import type { UserMessage } from "#actors/user/messages.ts";
import { UserActor } from "#actors/user/user-actor.ts";
import type { HostComposition, HostServices } from "./compositions.ts";
import { patiently } from "./patience.ts";

/** What a sync host is made of. */
export interface SyncHostParts {
  reader: RoomReader;
  connections: ConnectionStore;
  metrics: Metrics;
  clock: Clock;
  timers: Timers;
  logger: Logger;
  actors: HostServices["actors"];
  /** Seals what a `pos` claims. */
  mac: Mac;
  /** Random id of the database: to-device positions of another one are foreign. */
  epoch: string;
  /** Those up to here are another server's, taken over with its messages; 0 = none are. */
  importedPos?: StreamPos;
  /** For events kept in memory, in this host. */
  cacheBytes: number;
  firstSyncDeadlineMs: number;
  /** Of the requests of each device; null = none. */
  rateLimit: RateLimit | null;
}

/** A client sends one request at a time on a connection; updates are marks, not messages that pile up. */
const CONNECTION_MAILBOX = 10_000;

/** Ingest answers at once or not at all: nobody is kept waiting for who types. */
const RECALL_MS = 1000;
const encoder = new TextEncoder();

/** Users, their connections, and the rooms they are in. */
export function composeSyncHost(parts: SyncHostParts): HostComposition {
  const { reader, metrics } = parts;
  const directory = new RoomDirectory(reader, parts.cacheBytes);
  metrics.gauge("sync_rooms_in_memory", () => directory.roomCount);
  const directoryKind: ActorKind<DirectoryMessage | DirectoryEvent> = {
    factory: (context) => new DirectoryActor(context, directory),
    mailboxLimit: "unbounded",
    // Half an update cannot be taken back: the host goes, and its users are read anew from storage.
    onCrash: "stop",
    restartBudget: { intensity: 0, periodMs: 60_000 },
  };
  const userKind: ActorKind<UserMessage> = {
    factory: (context) => new UserActor(context, { directory, reader, firstSyncDeadlineMs: parts.firstSyncDeadlineMs }),
    mailboxLimit: "unbounded",
    onCrash: "stop",
  };
  const toDeviceToken = toDeviceTokens(parts.epoch, parts.importedPos ?? 0);
  const history = new HistoryReader({ ...parts, shelf: directory.history });
  metrics.gauge("history_cached_bytes", () => directory.history.bytes);
  const connectionDeps = {
    directory,
    reader,
    history,
    metrics,
    clock: parts.clock,
    toDeviceToken,
    store: parts.connections,
    mac: parts.mac,
    budgets: new RequestBudgets(parts.rateLimit, parts),
  };
  let connectionCount = 0;
  metrics.gauge("sliding_sync_api_num_active_conns", () => connectionCount);
  const connectionKind: ActorKind<ConnectionMessage> = {
    factory: (context) => {
      const actor = new ConnectionActor(context, connectionDeps);
      connectionCount += 1;
      return {
        receive: (message) => actor.receive(message),
        drain: () => actor.drain(),
        describe: () => actor.describe(),
        get state() {
          return actor.state;
        },
        stop: (reason) => {
          connectionCount -= 1;
          actor.stop(reason);
        },
      };
    },
    mailboxLimit: CONNECTION_MAILBOX,
    onCrash: "stop",
  };
  const kinds: KindTable = { directory: directoryKind, user: userKind, connection: connectionKind };
  // Wired to ingest by then: what is committed from there on arrives by itself.
  const priming = patiently(async () => {
    await recallTyping(directory, parts);
    directory.prime(await reader.loadHead());
  }, parts);
  return { kinds, onBegin: priming.begin, close: async () => priming.close() };
}

/** Who is typing is stored nowhere: after a crash of this host, ingest still knows what it told it. */
async function recallTyping({ typing }: RoomDirectory, { actors, logger }: SyncHostParts): Promise<void> {
  try {
    const { rooms } = await actors.ask<TypingRecalled>(INGEST, { type: "recall-typing" }, { deadlineMs: RECALL_MS });
    for (const { nid, json, userIds } of rooms) typing.recall(nid, { json: encoder.encode(json), userIds });
  } catch (error) {
    if (!(error instanceof SyncError)) throw error;
    // It starts as well: then it knows of none.
    logger.debug({ code: error.code }, "typing not recalled");
  }
}

/**
 * `<epoch>_<position>`: a token of a database that is no more is treated as none, and nothing is deleted for it. A plain number is the
 * Go proxy's: messages that were taken over from it, up to `importedPos`, have their place under its number.
 */
function toDeviceTokens(
  epoch: string,
  importedPos: StreamPos,
): { make(pos: StreamPos): string; read(token: string): StreamPos | null } {
  const prefix = `${epoch}_`;
  return {
    make: (pos) => `${prefix}${pos}`,
    read: (token) => {
      const isOurs = token.startsWith(prefix);
      const digits = isOurs ? token.slice(prefix.length) : token;
      const pos = /^\d{1,16}$/.test(digits) ? Number(digits) : Number.NaN;
      return Number.isSafeInteger(pos) && (isOurs || (pos > 0 && pos <= importedPos)) ? pos : null;
    },
  };
}
