import type { IngestTransaction } from "#src/ports/stores.ts";
import type { Param } from "../connection.ts";
import type { EventChunk } from "../event-chunk.ts";
import { intArray, storableInt, textArray } from "../text.ts";
import { IF_GUARDED, type Part, owners } from "./part.ts";
import {
  type EventPlace,
  type RewrittenChunk,
  eventPart,
  removedStatePart,
  rewrittenPart,
  roomPart,
  statePart,
  stickyPart,
} from "./room-parts.ts";
import {
  accountDataPart,
  deviceKeyPart,
  deviceListPart,
  receiptPart,
  sincePart,
  toDevicePart,
  txnPart,
  userRoomPart,
} from "./user-parts.ts";

/** Quarantined samples kept; older ones go. */
const QUARANTINE_LIMIT = 1000;

function quarantinePart(all: IngestTransaction["quarantine"]): Part {
  const rows = all.slice(-QUARANTINE_LIMIT);
  return {
    name: "quarantine",
    isEmpty: rows.length === 0,
    sql: (param) => {
      const [users, devices] = owners(rows);
      return `
      insert into quarantine (user_id, device_id, seen_ms, room_id, section, reason, sample)
      select * from unnest(
        ${param(users, "text[]")}, ${param(devices, "text[]")},
        ${param(intArray(rows.map(({ nowMs }) => storableInt(nowMs))), "int8[]")},
        ${param(textArray(rows.map(({ roomId }) => roomId)), "text[]")},
        ${param(textArray(rows.map(({ section }) => section)), "text[]")},
        ${param(textArray(rows.map(({ reason }) => reason)), "text[]")},
        ${param(textArray(rows.map(({ sample }) => sample)), "text[]")}
      ) ${IF_GUARDED}
      returning 1`;
    },
  };
}

/** Parts of one statement see the table as it was before: what is about to be added counts against the limit. */
function quarantineTrimPart(rows: IngestTransaction["quarantine"]): Part {
  const room = Math.max(0, QUARANTINE_LIMIT - rows.length);
  return {
    name: "quarantine_trim",
    isEmpty: rows.length === 0,
    sql: (param) => `
      delete from quarantine q where exists (select from guard) and q.id <= coalesce(
        (select k.id from quarantine k order by k.id desc offset ${param(room, "int8")} limit 1), 0)`,
  };
}

/** Combinations of parts that are prepared on a connection; beyond them, one statement with all parts serves the rest. */
const MAX_COMBINATIONS = 40;

/**
 * Makes the one statement that a commit is: all parts are written, or, when the guard does not hold, none. One statement
 * is one round trip, and has no connection to lose between a `begin` and a `commit`.
 */
export class CommitStatements {
  readonly #combinations = new Set<string>();
  readonly #hashId: (id: string) => number;

  constructor(hashId: (id: string) => number) {
    this.#hashId = hashId;
  }

  build(
    tx: IngestTransaction,
    chunks: readonly EventChunk[],
    places: readonly EventPlace[],
    rewritten: readonly RewrittenChunk[],
    guard: { writer: string; commitSeq: number },
  ): { text: string; params: Param[] } {
    const parts = [
      roomPart(tx.rooms),
      eventPart(chunks, this.#hashId),
      rewrittenPart(rewritten),
      statePart(tx.state, places),
      removedStatePart(tx.repairs),
      userRoomPart(tx.userRooms),
      receiptPart(tx.receipts),
      stickyPart(tx.sticky),
      accountDataPart(tx.accountData),
      toDevicePart(tx.toDevice),
      deviceListPart(tx.deviceLists),
      deviceKeyPart(tx.deviceKeys),
      txnPart(tx.txns),
      quarantinePart(tx.quarantine),
      quarantineTrimPart(tx.quarantine),
      sincePart(tx.sinces),
    ];
    const params: Param[] = [];
    const param = (value: Param, type: string): string => `$${params.push(value)}::${type}`;
    const clauses = [
      `guard as (
        update meta set head = ${param(tx.head, "int8")}, commit_seq = commit_seq + 1
        where writer = ${param(guard.writer, "text")} and commit_seq = ${param(guard.commitSeq, "int8")}
          and head <= ${param(tx.head, "int8")} and moved_to is null
        returning 1
      )`,
    ];
    for (const part of this.#chosen(parts)) {
      // No clause is named like the table it writes: a name without schema would mean the clause.
      clauses.push(`write_${part.name} as (${part.sql(param)})`);
    }
    return { text: `with ${clauses.join(",\n")}\nselect count(*)::int4 as committed from guard`, params };
  }

  #chosen(parts: readonly Part[]): readonly Part[] {
    const present = parts.filter(({ isEmpty }) => !isEmpty);
    const key = present.map(({ name }) => name).join(" ");
    if (this.#combinations.has(key)) return present;
    if (this.#combinations.size >= MAX_COMBINATIONS) return parts;
    this.#combinations.add(key);
    return present;
  }
}
