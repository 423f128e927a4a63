/** So many colours there are for avatars (`.avatar-0` and on). */
const COLOURS = 8;

/** A circle with the first letter: pictures would be asked of the homeserver for every room. */
export function Avatar({ id, name, isSquare = false }: { id: string; name: string; isSquare?: boolean }) {
  const letter = /[^#!@\s]/u.exec(name)?.[0] ?? "?";
  let sum = 0;
  for (const char of id) sum = (sum * 31 + (char.codePointAt(0) ?? 0)) % 65_521;
  return (
    <span class={`avatar avatar-${sum % COLOURS} ${isSquare ? "avatar-square" : ""}`} aria-hidden="true">
      {letter.toUpperCase()}
    </span>
  );
}
