import type { DestinationStream } from "pino";

/** Where gathered lines go in the end: any number of whole lines at a time. */
export interface TextSink {
  write(lines: string): void;
}

/** Gathers lines and lets go of them all. */
export interface GatheredLines extends DestinationStream {
  /** Of the line that is written next; set by pino, which sees by the symbol that it is wanted. */
  lastLevel: number;
  /** Writes what has been gathered. */
  flush(): void;
}

/** More than this does not wait for the end of a round. */
const GATHERED_CHARS_LIMIT = 64 * 1024;
/** Pino's number for `warn`. */
const WARN = 40;

/**
 * Lines of one round of the event loop leave in one write: twenty clients are answered in one round, and a write costs as
 * much as what it tells of. A warning or an error leaves at once, with all before it.
 */
export function gatherLines(sink: TextSink, afterRound: (run: () => void) => void): GatheredLines {
  let gathered = "";
  const flush = (): void => {
    if (gathered === "") return;
    const lines = gathered;
    gathered = "";
    sink.write(lines);
  };
  const destination: GatheredLines & { [PINO_METADATA]: true } = {
    [PINO_METADATA]: true,
    lastLevel: 0,
    flush,
    write(line) {
      if (gathered === "") afterRound(flush);
      gathered += line;
      if (destination.lastLevel >= WARN || gathered.length > GATHERED_CHARS_LIMIT) flush();
    },
  };
  return destination;
}

const PINO_METADATA = Symbol.for("pino.metadata");
