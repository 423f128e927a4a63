import { computed, type ReadonlySignal, signal } from "@preact/signals";

/** The pages of the operator, by the part of the address behind `#/`. */
export const OPERATOR_PAGES = [
  "overview",
  "pollers",
  "connections",
  "requests",
  "homeserver",
  "storage",
  "users",
  "actions",
] as const;
export type OperatorPage = (typeof OPERATOR_PAGES)[number];

const address = signal(readAddress());

/** The page that is shown. */
export const currentPage: ReadonlySignal<string> = computed(() => address.value[0] ?? "");

/** Of what it is the page, as of which user; empty where it is of everything. */
export const currentDetail: ReadonlySignal<string> = computed(() => address.value[1] ?? "");

/** Follows the address, for as long as the page is there. */
export function followAddress(): () => void {
  const follow = (): void => {
    address.value = readAddress();
  };
  addEventListener("hashchange", follow);
  return () => removeEventListener("hashchange", follow);
}

/** The address of a page. */
export const addressOf = (name: string): string => `#/${name}`;

function readAddress(): string[] {
  return location.hash
    .replace(/^#\/?/, "")
    .split("/")
    .map((part) => {
      try {
        return decodeURIComponent(part);
      } catch {
        return "";
      }
    });
}
