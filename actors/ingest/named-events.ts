import type { StoredEvent } from "#src/protocol/events.ts";
import type { EventId, RoomNid, UserId } from "#src/protocol/ids.ts";
import type { PollBatch } from "#src/protocol/poll-batch.ts";
import { redactionTarget, relatedEvent } from "#src/protocol/redaction.ts";
import type { UserRoom } from "#src/protocol/room-meta.ts";
import type { IngestStore } from "#src/ports/stores.ts";
import { findOwnMember, type PolledChunk } from "#src/state/chunk.ts";
import type { KnownChunk } from "./group-context.ts";

/** Where what is found goes. */
interface Found {
  isKnownEvent(eventId: EventId): boolean;
  userRoom(userId: UserId, nid: RoomNid): UserRoom | null;
  readonly storedEvents: Map<string, StoredEvent>;
}

/**
 * Reads the events that others of a group name: what redactions are about and what may repeat it, redactions that new events were awaited
 * by, and the joins before changes of profile that are the first we hear of a user. Mostly there are none.
 */
export async function loadNamedEvents(
  store: Pick<IngestStore, "loadEvents" | "loadState">,
  chunks: readonly KnownChunk[],
  found: Found,
): Promise<void> {
  const targets = new Set<EventId>();
  const others = new Set<EventId>();
  for (const { batch, section, meta } of chunks) {
    const replaced = replacedJoin(batch, section, found.userRoom(batch.userId, meta.nid));
    if (replaced !== null) others.add(replaced as EventId);
    const awaited = new Map(meta.awaitedRedactions);
    for (const list of [section.state, section.timeline]) {
      for (const { id, redacts, json } of list) {
        if (found.isKnownEvent(id)) continue;
        const redaction = awaited.get(id);
        const target = redacts === null ? null : redactionTarget(json, meta.roomVersion);
        if (redaction !== undefined) others.add(redaction as EventId);
        if (target !== null) targets.add(target as EventId);
      }
    }
  }
  if (targets.size + others.size === 0) return;
  const events = await store.loadEvents([...targets, ...others]);
  for (const event of events) found.storedEvents.set(event.id, event);
  const echoes = await echoIds(
    store,
    events.filter(({ id }) => targets.has(id)),
  );
  if (echoes.length === 0) return;
  for (const event of await store.loadEvents(echoes)) found.storedEvents.set(event.id, event);
}

function replacedJoin({ userId }: PollBatch, section: PolledChunk, standing: UserRoom | null): string | null {
  if (section.kind !== "join" || standing?.membership === "join") return null;
  const own = findOwnMember(section, userId);
  return own?.prevMembership === "join" ? own.replacesState : null;
}

async function echoIds(store: Pick<IngestStore, "loadState">, targets: readonly StoredEvent[]): Promise<EventId[]> {
  const keys: { nid: RoomNid; type: string; stateKey: string }[] = [];
  const ids = new Set<string>();
  for (const { nid, type, stateKey, json } of targets) {
    const related = relatedEvent(json);
    if (related !== null) ids.add(related);
    if (stateKey !== null) keys.push({ nid, type, stateKey });
  }
  const rows = keys.length === 0 ? [] : await store.loadState(keys);
  for (const { eventId } of rows) ids.add(eventId);
  for (const { id } of targets) ids.delete(id);
  return [...ids] as EventId[];
}
