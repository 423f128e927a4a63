import type { Param } from "../connection.ts";
import { keyArray } from "../text.ts";

/** One part of the statement: what it writes, and whether this commit has any of it. */
export interface Part {
  name: string;
  isEmpty: boolean;
  sql: (param: (value: Param, type: string) => string) => string;
}

/** Of every part: nothing is written when the guard does not hold. */
export const IF_GUARDED = "where exists (select from guard)";

/** Columns of the devices that rows belong to. */
export const owners = (rows: readonly { userId: string; deviceId: string }[]): [users: string, devices: string] => [
  keyArray(rows.map((row) => row.userId)),
  keyArray(rows.map((row) => row.deviceId)),
];
