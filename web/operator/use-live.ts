import { useEffect, useState } from "preact/hooks";
import { browser } from "../browser.ts";
import type { AdminApi } from "./admin-api.ts";

/** Something that is asked for again and again while it is shown. */
export interface Live<T> {
  /** The last that came. */
  value: T | null;
  /** Why the last request brought nothing. */
  failure: string | null;
  /** Asks at once, as after an action. */
  refresh: () => void;
}

/** Asks every few seconds, one request at a time, and not at all while nobody looks at the tab. */
export function useLive<T>(api: AdminApi, path: string, everyMs: number): Live<T> {
  const [value, setValue] = useState<T | null>(null);
  const [failure, setFailure] = useState<string | null>(null);
  const [round, setRound] = useState(0);
  useEffect(() => {
    let isGone = false;
    let cancel = (): void => undefined;
    const ask = async (): Promise<void> => {
      if (!document.hidden) {
        const outcome = await api.get<T>(path);
        if (isGone) return;
        if ("value" in outcome) setValue(outcome.value);
        setFailure("failure" in outcome ? outcome.failure : null);
      }
      cancel = browser.after(everyMs, () => void ask());
    };
    void ask();
    return () => {
      isGone = true;
      cancel();
    };
  }, [api, path, everyMs, round]);
  return { value, failure, refresh: () => setRound((before) => before + 1) };
}

/** The newest values of a number that changes, oldest first; `at` tells one look from the next. */
export function useHistory(value: number | null, at: unknown, most: number): readonly number[] {
  const [history, setHistory] = useState<readonly number[]>([]);
  useEffect(() => {
    if (value !== null) setHistory((before) => [...before, value].slice(-most));
  }, [at]);
  return history;
}
