import { type ReadonlySignal, signal } from "@preact/signals";

/** The pages of the console, by the part of the address behind `#/`. */
export const OPERATOR_PAGES = [
  "overview",
  "pollers",
  "connections",
  "storage",
  "requests",
  "homeserver",
  "actions",
] as const;
export type OperatorPage = (typeof OPERATOR_PAGES)[number];

const page = signal(readPage());

/** The page that is shown. */
export const currentPage: ReadonlySignal<string> = page;

/** Follows the address; once, at the start. */
export function followAddress(): void {
  addEventListener("hashchange", () => {
    page.value = readPage();
  });
}

/** The address of a page. */
export const addressOf = (name: string): string => `#/${name}`;

function readPage(): string {
  return location.hash.replace(/^#\/?/, "");
}
