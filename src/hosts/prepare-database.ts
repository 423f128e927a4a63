import type { Clock, Logger, Timers } from "#src/ports/basics.ts";
import { connectDatabase } from "#db/connection.ts";
import { type MigrationProgress, migrateDatabase } from "#db/migrate.ts";
import { type Rotation, settleSecret } from "#db/secret-rotation.ts";
import { deriveKeys, loadOrCreateSecret, loadOrigin } from "#db/secrets.ts";
import { untilReachable } from "./until-reachable.ts";

/** What a database is prepared with. */
export interface PrepareOptions {
  connection: string;
  secret: string | null;
  oldSecret: string | null;
  dataDir: string;
}

export interface PrepareDeps {
  clock: Clock;
  timers: Timers;
  logger: Logger;
  /** What the start is busy with, for who waits for it. */
  busyWith: (what: string | null) => void;
}

/** An index over the largest table of a large server takes hours; what hangs ends all the same. */
const STATEMENT_DEADLINE_MS = 6 * 3_600_000;
/** How soon it is said what is waited for, and how often that it goes on. */
const TELL_AFTER_MS = 3000;
const TELL_EVERY_MS = 15_000;
const CLOSE_DEADLINE_MS = 1000;

/**
 * Brings a database to the schema of this executable, and its tokens under the secret that holds now; null when the secret was that before.
 * Both may go over whole tables, so that their statements have a deadline of their own, and whoever waits is told how far it is.
 */
export async function prepareDatabase(options: PrepareOptions, deps: PrepareDeps): Promise<Rotation | null> {
  const { connection, secret, oldSecret, dataDir } = options;
  const db = connectDatabase(
    {
      connection,
      maxConnections: 1,
      idleTimeoutMs: 0,
      deadlineMs: STATEMENT_DEADLINE_MS,
      prepare: false,
      applicationName: "glissade",
    },
    deps,
  );
  const progress = new Progress(deps);
  const reached = <T>(work: () => Promise<T>): Promise<T> =>
    untilReachable(deps, () => {
      progress.is("waiting for the database to answer");
      return work();
    });
  try {
    await reached(() => migrateDatabase(db, deps.logger, (step) => progress.is(migrationText(step))));
    const { epoch } = await reached(() => loadOrigin(db));
    const keys = deriveKeys(secret ?? loadOrCreateSecret(dataDir), epoch);
    const before = oldSecret === null ? null : deriveKeys(oldSecret, epoch);
    const sealed = (count: number, total: number): void =>
      progress.is(`sealing access tokens anew: ${count.toLocaleString("en")} of ${total.toLocaleString("en")}`);
    return await reached(() => settleSecret(db, keys, before, deps.clock.now(), sealed));
  } finally {
    progress.end();
    await db.close(CLOSE_DEADLINE_MS);
  }
}

const migrationText = ({ name, index, count, isWaiting }: MigrationProgress): string =>
  isWaiting
    ? "waiting for another process that migrates the database"
    : `migrating the database: ${name}, ${index} of ${count}`;

/** Says what a long start is busy with: at once to who asks, and from time to time in the log. */
class Progress {
  readonly #deps: PrepareDeps;
  readonly #startedMs: number;
  #what: string | null = null;
  #cancel: () => void;

  constructor(deps: PrepareDeps) {
    this.#deps = deps;
    this.#startedMs = deps.clock.mono();
    this.#cancel = deps.timers.after(TELL_AFTER_MS, () => this.#tell());
  }

  is(what: string): void {
    this.#what = what;
    this.#deps.busyWith(what);
  }

  end(): void {
    this.#cancel();
    this.#deps.busyWith(null);
  }

  #tell(): void {
    const seconds = Math.round((this.#deps.clock.mono() - this.#startedMs) / 1000);
    if (this.#what !== null) this.#deps.logger.info({ busy_with: this.#what, seconds }, "still preparing the database");
    this.#cancel = this.#deps.timers.after(TELL_EVERY_MS, () => this.#tell());
  }
}
