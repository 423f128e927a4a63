import type { RoomNid } from "#src/protocol/ids.ts";
import type { RoomMeta } from "#src/protocol/room-meta.ts";
import type { IngestStore } from "#src/ports/stores.ts";
import type { PolledChunk } from "#src/state/chunk.ts";
import type { KnownSticky } from "#src/state/ingest-context.ts";
import type { IngestMemory } from "./ingest-memory.ts";

/** The sections may make an event of the room sticky, or redact one. */
const concernsSticky = (section: PolledChunk): boolean =>
  (section.kind === "join" && section.sticky !== undefined) ||
  section.timeline.some(({ sticky, redacts }) => sticky !== undefined || redacts !== null);

interface Found {
  nowMs: number;
  stickyEvents: Map<RoomNid, ReadonlyMap<string, KnownSticky>>;
}

/** Brings the sticky events of rooms in, where a group has any to add or to redact; null when there is nothing to read. */
export function loadSticky(
  store: Pick<IngestStore, "loadStickyIds">,
  memory: IngestMemory,
  chunks: readonly { section: PolledChunk; meta: RoomMeta }[],
  { nowMs, stickyEvents }: Found,
): Promise<void> | null {
  const missing = new Set<RoomNid>();
  for (const { section, meta } of chunks) {
    if ((meta.stickyUntilMs ?? 0) <= nowMs || !concernsSticky(section)) continue;
    const known = memory.sticky.get(meta.nid);
    if (known === undefined) missing.add(meta.nid);
    else stickyEvents.set(meta.nid, withoutExpired(known, nowMs));
  }
  return missing.size === 0 ? null : readSticky(store, memory, missing, { nowMs, stickyEvents });
}

async function readSticky(
  store: Pick<IngestStore, "loadStickyIds">,
  memory: IngestMemory,
  missing: ReadonlySet<RoomNid>,
  { nowMs, stickyEvents }: Found,
): Promise<void> {
  const rooms = new Map([...missing].map((nid) => [nid, new Map<string, KnownSticky>()]));
  for (const { nid, id, ...known } of await store.loadStickyIds([...missing], nowMs)) rooms.get(nid)?.set(id, known);
  for (const [nid, known] of rooms) {
    memory.sticky.set(nid, known);
    stickyEvents.set(nid, known);
  }
}

function withoutExpired(known: Map<string, KnownSticky>, nowMs: number): Map<string, KnownSticky> {
  for (const [id, { expiresMs }] of known) if (expiresMs <= nowMs) known.delete(id);
  return known;
}
