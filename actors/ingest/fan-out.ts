import { SyncError } from "#src/errors.ts";
import { packUpdates } from "#src/protocol/packed.ts";
import type { StreamPos } from "#src/protocol/ids.ts";
import type { UpdateBatch } from "#src/protocol/update.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import { directoryAddress } from "#actors/addresses.ts";
import type { IngestMessage } from "./messages.ts";

/** A host that has not applied an update by then is as good as gone: its heartbeat will tell. */
const APPLY_DEADLINE_MS = 30_000;

/**
 * Sends updates to every sync host; resolves when each has applied them or is gone. A host that died reads everything from
 * the database when it is back. One that failed otherwise notices by `fromPos` that it lacks something.
 */
export async function fanOut(
  context: ActorContext<IngestMessage>,
  hostCount: number,
  updates: UpdateBatch,
): Promise<void> {
  if (hostCount === 0) return;
  const packed = packUpdates(updates);
  const asks = Array.from({ length: hostCount }, (_, index) => {
    // Bytes are transferred, so each host but the last gets a copy.
    const bytes = index === hostCount - 1 ? packed.bytes : packed.bytes.slice();
    const message = { type: "apply-updates", packed: { head: packed.head, bytes } };
    const options = { deadlineMs: APPLY_DEADLINE_MS, transfer: [bytes.buffer] };
    return context.ask(directoryAddress(index), message, options);
  });
  for (const [index, result] of (await Promise.allSettled(asks)).entries()) {
    if (result.status === "fulfilled") continue;
    const code = result.reason instanceof SyncError ? result.reason.code : "internal";
    if (code !== "actor_stopped")
      context.log.error({ host_index: index, code, to_pos: updates.toPos }, "update not applied");
  }
}

/**
 * Tells every sync host where the stream stands when ingest starts. A commit of the life before may have gone through without
 * anybody being told, and nothing else would follow until the next one: a host that lacks it notices here.
 */
export function announceHead(context: ActorContext<IngestMessage>, hostCount: number, head: StreamPos): void {
  const nothing: UpdateBatch = { fromPos: head, toPos: head, rooms: [], users: [], traceparent: null };
  // Failures are logged there; a host that is down reads where the stream stands by itself.
  void fanOut(context, hostCount, nothing);
}
