import type { PolledJoin, PolledReceipt } from "#src/protocol/poll-batch.ts";
import type { EventReader } from "./event-fields.ts";
import { identifierFault } from "./event-fields.ts";
import { findMember, parseJson, stringAt } from "./json-text.ts";
import type { RejectLog } from "./reject-log.ts";
import { eachEvent, identifiersOf, membersOf, view } from "./sections.ts";
import { FAIL, checkValue, isObjectAt, skipValue } from "./slicer.ts";

const RECEIPT_TYPES = [
  ["m.read", false],
  ["m.read.private", true],
] as const;

/** Fills typing and receipts of `join` from its `ephemeral` section; types we do not know are passed over. */
export function readEphemeral(
  reader: EventReader,
  bytes: Buffer,
  at: number,
  end: number,
  join: PolledJoin,
  rejects: RejectLog,
): void {
  const isWhole = eachEvent(bytes, at, end, (itemAt) => {
    const after = skipValue(bytes, itemAt, end);
    if (after === FAIL) return FAIL;
    if (!isObjectAt(bytes, itemAt, end) || checkValue(bytes, itemAt, end) !== after || !reader.isText(itemAt, after)) {
      rejects.add(join.roomId, "join.ephemeral", "malformed json", bytes, itemAt, after);
      return after;
    }
    const type = stringAt(bytes, findMember(bytes, itemAt, after, "type"), after);
    const contentAt = findMember(bytes, itemAt, after, "content");
    const content =
      contentAt === FAIL ? null : membersOf(parseJson(bytes, contentAt, skipValue(bytes, contentAt, after)));
    if (type !== "m.typing" && type !== "m.receipt") return after;
    if (content === null) rejects.add(join.roomId, "join.ephemeral", "no content", bytes, itemAt, after);
    else if (type === "m.typing")
      join.typing = { json: view(bytes, itemAt, after), userIds: identifiersOf(content["user_ids"]) };
    else collectReceipts(content, join.receipts);
    return after;
  });
  if (!isWhole) rejects.add(join.roomId, "join.ephemeral", "malformed json", bytes, at, skipValue(bytes, at, end));
}

/** Adds the receipts of one `m.receipt` content to `receipts`. */
function collectReceipts(content: Record<string, unknown>, receipts: PolledReceipt[]): void {
  for (const [eventId, byType] of Object.entries(content)) {
    const types = membersOf(byType);
    if (types === null || eventId === "" || identifierFault(eventId) !== null) continue;
    for (const [name, isPrivate] of RECEIPT_TYPES) {
      for (const [userId, data] of Object.entries(membersOf(types[name]) ?? {})) {
        const receipt = membersOf(data);
        if (receipt === null || userId === "" || identifierFault(userId) !== null) continue;
        const { ts, thread_id: threadId } = receipt;
        receipts.push({
          userId,
          eventId,
          threadId: typeof threadId === "string" && identifierFault(threadId) === null ? threadId : "",
          isPrivate,
          ts: typeof ts === "number" && ts > 0 && ts <= Number.MAX_SAFE_INTEGER ? Math.trunc(ts) : 0,
        });
      }
    }
  }
}
