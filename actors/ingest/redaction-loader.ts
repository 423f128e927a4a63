import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import type { EventId, RoomNid } from "#src/protocol/ids.ts";
import { redactionTarget, relatedEvent } from "#src/protocol/redaction.ts";
import type { RoomMeta } from "#src/protocol/room-meta.ts";
import type { IngestStore } from "#src/ports/stores.ts";

/** What a group brought to a room that is stored. */
interface Chunk {
  section: { state: readonly EventFields[]; timeline: readonly EventFields[] };
  meta: RoomMeta;
}

/** Where what is found goes. */
interface Found {
  isKnownEvent(eventId: EventId): boolean;
  readonly storedEvents: Map<string, StoredEvent>;
}

/** Reads what new redactions name, what may repeat it, and the redactions that new events were awaited by. Mostly there are none. */
export async function loadRedactions(
  store: Pick<IngestStore, "loadEvents" | "loadState">,
  chunks: readonly Chunk[],
  found: Found,
): Promise<void> {
  const targets = new Set<EventId>();
  const redactions = new Set<EventId>();
  for (const { section, meta } of chunks) {
    const awaited = new Map(meta.awaitedRedactions);
    for (const list of [section.state, section.timeline]) {
      for (const { id, redacts, json } of list) {
        if (found.isKnownEvent(id)) continue;
        const redaction = awaited.get(id);
        const target = redacts === null ? null : redactionTarget(json, meta.roomVersion);
        if (redaction !== undefined) redactions.add(redaction as EventId);
        if (target !== null) targets.add(target as EventId);
      }
    }
  }
  if (targets.size + redactions.size === 0) return;
  const events = await store.loadEvents([...targets, ...redactions]);
  for (const event of events) found.storedEvents.set(event.id, event);
  const echoes = await echoIds(
    store,
    events.filter(({ id }) => targets.has(id)),
  );
  if (echoes.length === 0) return;
  for (const event of await store.loadEvents(echoes)) found.storedEvents.set(event.id, event);
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
