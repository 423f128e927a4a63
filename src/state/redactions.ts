import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import { redactEvent, redactionTarget, relatedEvent, withoutEcho } from "#src/protocol/redaction.ts";
import type { GroupDraft } from "./group-draft.ts";
import type { RoomDraft } from "./room-draft.ts";

/** Applies a new event of a room's timeline if it is a redaction. The homeserver has checked that it was allowed; we check the room. */
export function reduceRedaction(group: GroupDraft, room: RoomDraft, event: StoredEvent): void {
  if (event.redacts === null || event.stateKey !== null) return;
  const target = redactionTarget(event.json, room.roomVersion);
  if (target === null || target === event.id) return;
  const stored = group.findEvent(target);
  if (stored === null) {
    const others = room.awaitedRedactions.filter(([awaited]) => awaited !== target);
    room.setAwaitedRedactions([...others, [target, event.id]]);
    return;
  }
  if (stored.nid !== room.nid) return;
  const json = redactEvent(stored.json, room.roomVersion, event.json);
  if (json === null) return;
  const echoes = echoesOf(group, room, stored);
  group.rewrite(stored, json);
  room.restate({ ...stored, json });
  for (const echo of echoes) {
    const rest = withoutEcho(echo.json, target);
    if (rest !== null) group.rewrite(echo, rest);
  }
}

/** Events that may repeat what another one says: the one it is about, and its successor in the room's state. */
function echoesOf(group: GroupDraft, room: RoomDraft, event: StoredEvent): StoredEvent[] {
  const row = event.stateKey === null ? null : room.row(event.type, event.stateKey);
  return [relatedEvent(event.json), row?.eventId ?? null].flatMap((id) => {
    const echo = id === null || id === event.id ? null : group.findEvent(id);
    return echo === null || echo.nid !== room.nid ? [] : [echo];
  });
}

/** A new event as it is to be stored: redacted, when its redaction came first. */
export function asAwaited(group: GroupDraft, room: RoomDraft, event: EventFields): EventFields {
  const awaited = room.awaitedRedactions.find(([target]) => target === event.id);
  const redaction = awaited === undefined ? null : group.findEvent(awaited[1]);
  if (redaction === null) return event;
  room.setAwaitedRedactions(room.awaitedRedactions.filter((other) => other !== awaited));
  const json = redactEvent(event.json, room.roomVersion, redaction.json);
  return json === null ? event : { ...event, json };
}
