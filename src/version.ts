import packageJson from "../package.json" with { type: "json" };

/** Set by the build of the executable; absent when run from source. */
declare const GLISSADE_VERSION: string | undefined;
/** Commit the executable was built of, seven digits; absent as above. */
declare const GLISSADE_COMMIT: string | undefined;

/** This program's version. */
export const VERSION: string = typeof GLISSADE_VERSION === "undefined" ? packageJson.version : GLISSADE_VERSION;

const commit = typeof GLISSADE_COMMIT === "undefined" ? "" : GLISSADE_COMMIT;

/** With the commit, where it is known: `1.2.3 (abcdef0)`. */
export const FULL_VERSION: string = commit === "" ? VERSION : `${VERSION} (${commit})`;
