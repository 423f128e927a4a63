import { systemTimers } from "#src/system.ts";
import { startEmbeddedDatabase } from "#db/embedded.ts";
import { databaseDeps } from "./database.ts";

// Run as a process: the embedded database of the directory it is given, until it is killed.
const dataDir = process.argv[2];
if (dataDir === undefined) throw new Error("a data directory is needed");
await startEmbeddedDatabase({ dataDir, timers: systemTimers, logger: databaseDeps.logger });
process.stdout.write("ready\n");
