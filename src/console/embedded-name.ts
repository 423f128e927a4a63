import { CONSOLE_ENCODINGS, type ConsoleEncoding } from "#src/ports/console.ts";

/** Tells the console's files from others in the executable. */
const PREFIX = "console+";

/** A file of the console in one encoding. */
export interface EmbeddedPart {
  path: string;
  encoding: ConsoleEncoding;
}

/** By which name it lies in the executable: embedded files have no folders. */
export const embeddedNameOf = ({ path, encoding }: EmbeddedPart): string => `${PREFIX}${path}+${encoding}`;

/** What lies there by a name; null for what is not the console's. */
export function embeddedPartOf(name: string): EmbeddedPart | null {
  if (!name.startsWith(PREFIX)) return null;
  const end = name.lastIndexOf("+");
  const encoding = CONSOLE_ENCODINGS.find((known) => known === name.slice(end + 1));
  return encoding === undefined ? null : { path: name.slice(PREFIX.length, end), encoding };
}
