import type { Dialect, DialectName } from "./dialect.ts";
import { MSC3575 } from "./msc3575.ts";
import { SIMPLIFIED } from "./simplified.ts";
import { V4 } from "./v4.ts";

/** The dialect of a connection, which its id says: see `Dialect.connScope`. */
export function dialectOfConnection(connId: string): Dialect {
  const scoped = [SIMPLIFIED, V4].find(({ connScope }) => connId.startsWith(connScope));
  return scoped ?? MSC3575;
}

/** Every dialect by its name, which is how one is told across hosts. */
export const DIALECTS: Readonly<Record<DialectName, Dialect>> = { msc3575: MSC3575, simplified: SIMPLIFIED, v4: V4 };
