import { expect, test } from "bun:test";
import { AppState } from "#web/session/app-state.ts";

/** A console in a tab of its own. */
function newTab(): { state: AppState; stored: Map<string, string> } {
  const stored = new Map<string, string>();
  const state = new AppState(
    {
      fetch: () => Promise.reject(new Error("no network")),
      now: () => 0,
      mono: () => 0,
      after: () => () => undefined,
      randomId: () => "id",
      storage: {
        getItem: (key) => stored.get(key) ?? null,
        setItem: (key, value) => void stored.set(key, value),
        removeItem: (key) => void stored.delete(key),
      },
    },
    { version: "1", dialects: ["simplified"], homeservers: [""], hasAdmin: false, needsToken: false },
  );
  return { state, stored };
}

test("[CNS-96] a token that comes in the address is taken once, and only by the tab that asked for one", () => {
  const { state, stored } = newTab();
  expect(state.endSso()).toBe(false);
  state.beginSso();
  expect(newTab().state.endSso()).toBe(false);
  expect(state.endSso()).toBe(true);
  expect(state.endSso()).toBe(false);
  expect(stored.size).toBe(0);
});
