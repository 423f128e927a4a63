/**
 * Whether two values of JSON are written the same, members in the same order; one that is undefined is not written. Without
 * writing them: most of what is compared is the very same object.
 */
export function sameJson(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (typeof a !== "object" || typeof b !== "object" || a === null || b === null) return false;
  if (Array.isArray(a) || Array.isArray(b)) return Array.isArray(a) && Array.isArray(b) && sameArrays(a, b);
  return sameObjects(a, b);
}

function sameArrays(a: readonly unknown[], b: readonly unknown[]): boolean {
  if (a.length !== b.length) return false;
  for (let index = 0; index < a.length; index++) if (!sameJson(a[index], b[index])) return false;
  return true;
}

function sameObjects(a: object, b: object): boolean {
  const [keys, others] = [writtenKeys(a), writtenKeys(b)];
  if (keys.length !== others.length) return false;
  for (let index = 0; index < keys.length; index++) {
    const key = keys[index] as string;
    if (key !== others[index] || !sameJson(a[key as keyof object], b[key as keyof object])) return false;
  }
  return true;
}

const writtenKeys = (value: object): string[] =>
  Object.keys(value).filter((key) => value[key as keyof object] !== undefined);
