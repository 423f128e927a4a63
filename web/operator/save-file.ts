import { browser } from "../browser.ts";

/** The browser has taken hold of a download by then. */
const TAKEN_MS = 1000;

/** Saves bytes as a file, as a download. */
export function saveFile(name: string, content: Blob): void {
  const url = URL.createObjectURL(content);
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  browser.after(TAKEN_MS, () => URL.revokeObjectURL(url));
}
