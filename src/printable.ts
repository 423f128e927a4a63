/** Longer is nothing that we have to say. */
const MOST_CHARS = 1000;

/** Text of others as it may be shown in a terminal: nothing in it moves the cursor, breaks the line or fills the screen. */
export const printable = (text: string): string => text.slice(0, MOST_CHARS).replaceAll(/\p{C}/gu, "\u{FFFD}");
