import type { EventFields, StoredEvent } from "#src/protocol/events.ts";
import { redactEvent, redactionTarget, relatedEvent, withoutEcho } from "#src/protocol/redaction.ts";
import type { GroupDraft } from "./group-draft.ts";
import type { RoomDraft } from "./room-draft.ts";

/** Applies a new event of a room's timeline if it is a redaction. The homeserver has checked that it was allowed; we check the room. */
export function reduceRedaction(group: GroupDraft, room: RoomDraft, event: StoredEvent): void {
  const target = targetOf(room, event);
  if (target === null) return;
  group.sticky.redact(room.nid, target);
  if (group.findEvent(target) === null) {
    const others = room.awaitedRedactions.filter(([awaited]) => awaited !== target);
    room.setAwaitedRedactions([...others, [target, event.id]]);
    return;
  }
  redact(group, room, target, event);
}

/** Applies a redaction that is not kept, as one that lies in a gap; true when it changed anything. */
export function reduceUnseenRedaction(group: GroupDraft, room: RoomDraft, event: EventFields): boolean {
  const target = targetOf(room, event);
  if (target !== null) group.sticky.redact(room.nid, target);
  return target !== null && redact(group, room, target, event);
}

function targetOf(room: RoomDraft, { id, redacts, stateKey, json }: EventFields): string | null {
  if (redacts === null || stateKey !== null) return null;
  const target = redactionTarget(json, room.roomVersion);
  return target === id ? null : target;
}

function redact(group: GroupDraft, room: RoomDraft, target: string, event: EventFields): boolean {
  const stored = group.findEvent(target);
  if (stored === null || stored.nid !== room.nid) return false;
  const json = redactEvent(stored.json, room.roomVersion, event.json);
  if (json === null) return false;
  const echoes = echoesOf(group, room, stored);
  group.rewrite(stored, json);
  room.restate({ ...stored, json });
  for (const echo of echoes) {
    const rest = withoutEcho(echo.json, target);
    if (rest !== null) group.rewrite(echo, rest);
  }
  return true;
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
  group.sticky.redact(room.nid, event.id);
  room.setAwaitedRedactions(room.awaitedRedactions.filter((other) => other !== awaited));
  const json = redactEvent(event.json, room.roomVersion, redaction.json);
  return json === null ? event : { ...event, json };
}
