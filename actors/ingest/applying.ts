import type { Metrics } from "#src/ports/basics.ts";
import type { StreamPos } from "#src/protocol/ids.ts";
import type { Reduction } from "#src/state/ingest-reducer.ts";
import { REPAIR } from "#actors/addresses.ts";
import type { RepairCommand } from "#actors/repair/messages.ts";
import type { ActorContext } from "#actors/runtime/actor.ts";
import { fanOut } from "./fan-out.ts";
import { type Group, traceparentsOf } from "./group.ts";
import { inStep, startStep } from "./ingest-tracing.ts";
import type { IngestMessage } from "./messages.ts";
import { noteStored, type PollerBook } from "./poller-book.ts";

/** Groups that are committed and not yet applied everywhere; more would only fill the mailboxes of slow hosts. */
const UNAPPLIED_LIMIT = 8;

type SuspectRooms = Extract<RepairCommand, { type: "suspect-rooms" }>;

interface ApplyingDeps {
  metrics: Metrics;
  syncHostCount: number;
}

/** Has the sync hosts apply what is committed, and answers pollers when they have. */
export class Applying {
  readonly #context: ActorContext<IngestMessage>;
  readonly #deps: ApplyingDeps;
  readonly #book: PollerBook;
  /** In stream order; answered from the front. */
  #groups: Group[] = [];

  constructor(context: ActorContext<IngestMessage>, deps: ApplyingDeps, book: PollerBook) {
    this.#context = context;
    this.#deps = deps;
    this.#book = book;
  }

  get isFull(): boolean {
    return this.#groups.length >= UNAPPLIED_LIMIT;
  }

  get groups(): readonly Group[] {
    return this.#groups;
  }

  /** The group is committed: its updates go out, and whatever else follows from it. */
  send(group: Group, reduction: Reduction, head: StreamPos): void {
    const { updates, suspicions } = reduction;
    this.#count(group, reduction);
    this.#suspect(suspicions);
    for (const work of group.works) noteStored(work);
    this.#groups.push(group);
    // Without a gap in what is sent, a host that lacks something can tell.
    const hasNews = updates.toPos > updates.fromPos || updates.rooms.length > 0 || updates.users.length > 0;
    if (hasNews && this.#deps.syncHostCount > 0) this.#fanOut(group, reduction);
    else this.applied(group.id, head);
  }

  /** Answers pollers in stream order: what a poller brought is applied, and so is everything it may have repeated. */
  applied(groupId: number, head: StreamPos): void {
    const applied = this.#groups.find(({ id }) => id === groupId);
    if (applied !== undefined) applied.isApplied = true;
    let done = 0;
    for (const group of this.#groups) {
      if (!group.isApplied) break;
      done += 1;
      for (const work of group.works) {
        const { waiter } = work;
        waiter.openParts -= 1;
        if (waiter.openParts > 0) continue;
        this.#book.answered(work, head, this.#context.clock.mono() - waiter.arrivedMs);
        waiter.reply.resolve({ pos: head });
      }
    }
    this.#groups = this.#groups.slice(done);
  }

  #fanOut(group: Group, { updates, transaction }: Reduction): void {
    const step = startStep("ingest.fan-out", traceparentsOf(group), {
      "ingest.rooms": updates.rooms.length,
      "ingest.users": updates.users.length,
      "sync.pos": transaction.head,
    });
    const { metrics, syncHostCount } = this.#deps;
    const sentMs = this.#context.clock.mono();
    inStep(step, () =>
      this.#context.pipe(
        fanOut(this.#context, syncHostCount, updates).finally(() => {
          step?.span.end();
          metrics.observe("ingest_fan_out_duration_secs", (this.#context.clock.mono() - sentMs) / 1000);
        }),
        () => ({ type: "group-applied", groupId: group.id }),
        () => ({ type: "group-applied", groupId: group.id }),
      ),
    );
  }

  #count({ works }: Group, { counts }: Reduction): void {
    const { metrics } = this.#deps;
    metrics.observe("ingest_group_batches", works.length);
    if (counts.newEvents > 0) metrics.count("ingest_events_total", counts.newEvents, { known: "false" });
    if (counts.knownEvents > 0) metrics.count("ingest_events_total", counts.knownEvents, { known: "true" });
    if (counts.rejected > 0) metrics.count("ingest_quarantined_total", counts.rejected);
    if (counts.repaired > 0) metrics.count("ingest_repaired_rooms_total", counts.repaired);
  }

  /** What looks wrong is compared with the homeserver, by and by. */
  #suspect(rooms: Reduction["suspicions"]): void {
    if (rooms.length === 0) return;
    const message: SuspectRooms = { type: "suspect-rooms", rooms };
    this.#context.tell(REPAIR, message);
  }
}
