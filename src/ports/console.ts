/** How a file of the console may go over the wire, best first. */
export const CONSOLE_ENCODINGS = ["br", "gzip", "identity"] as const;
export type ConsoleEncoding = (typeof CONSOLE_ENCODINGS)[number];

/** One file of the console, in every encoding it is kept in. */
export interface ConsoleFile {
  /** Relative to `/client/`. */
  path: string;
  contentType: string;
  /** Of its content; the name of a file that never changes carries it. */
  etag: string;
  isImmutable: boolean;
  bodies: Readonly<Partial<Record<ConsoleEncoding, Uint8Array<ArrayBuffer>>>>;
}

/** The files of the web console. */
export interface ConsoleFiles {
  /** Null where there is none of that path; the empty path is the page itself. */
  find: (path: string) => Promise<ConsoleFile | null>;
}

/** What the console has to know of the server it came from. */
export interface ConsoleSettings {
  version: string;
  /** Dialects that are spoken, by the name of each. */
  dialects: readonly string[];
  /** Where browsers may find the homeserver's own API, most likely first; empty is the console's own origin. */
  homeservers: readonly string[];
  /** Whether the API of the operator is here. */
  hasAdmin: boolean;
  /** Whether it asks for a token; on a unix socket it does not. */
  needsToken: boolean;
}
