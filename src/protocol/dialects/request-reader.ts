import { SyncError } from "../../errors.ts";
import { asObject, type JsonObject } from "../json-value.ts";

const encoder = new TextEncoder();

/** Reads members of a request strictly by type: `null` and nothing are "not given", everything else has to be what it should be. */
export const wrongType = (path: string, wanted: string): SyncError =>
  new SyncError("bad_json", `${path} is not ${wanted}`);

export const member = (object: JsonObject, name: string): unknown => {
  const value = Object.hasOwn(object, name) ? object[name] : undefined;
  return value === null ? undefined : value;
};

export function objectAt(object: JsonObject, name: string, path: string): JsonObject | undefined {
  const value = member(object, name);
  if (value === undefined) return undefined;
  const read = asObject(value);
  if (read === null) throw wrongType(`${path}${name}`, "an object");
  return read;
}

export function arrayAt(object: JsonObject, name: string, path: string, most: number): unknown[] | undefined {
  const value = member(object, name);
  if (value === undefined) return undefined;
  if (!Array.isArray(value)) throw wrongType(`${path}${name}`, "an array");
  if (value.length > most) throw new SyncError("invalid_param", `too many ${path}${name}: ${value.length} > ${most}`);
  return value;
}

export function textsAt(object: JsonObject, name: string, path: string, most: number): string[] | undefined {
  return arrayAt(object, name, path, most)?.map((item, index) => {
    if (typeof item !== "string") throw wrongType(`${path}${name}[${index}]`, "a string");
    return item;
  });
}

export function textAt(object: JsonObject, name: string, path: string, mostBytes: number): string | undefined {
  const value = member(object, name);
  if (value === undefined) return undefined;
  if (typeof value !== "string") throw wrongType(`${path}${name}`, "a string");
  if (value.length > mostBytes || (value.length * 3 > mostBytes && encoder.encode(value).length > mostBytes)) {
    throw new SyncError("invalid_param", `${path}${name} is longer than ${mostBytes} bytes`);
  }
  return value;
}

export function booleanAt(object: JsonObject, name: string, path: string): boolean | undefined {
  const value = member(object, name);
  if (value === undefined) return undefined;
  if (typeof value !== "boolean") throw wrongType(`${path}${name}`, "a boolean");
  return value;
}

export function integerAt(object: JsonObject, name: string, path: string): number | undefined {
  const value = member(object, name);
  if (value === undefined) return undefined;
  if (typeof value !== "number" || !Number.isSafeInteger(value)) throw wrongType(`${path}${name}`, "an integer");
  return value;
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

/** Leaves out the members that were not given. */
export function given<T extends object>(members: T): Given<T> {
  const kept: Partial<T> = {};
  for (const name in members) if (members[name] !== undefined) kept[name] = members[name];
  return kept as Given<T>;
}
