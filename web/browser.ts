/** What the console takes from the browser; the only file that touches clocks, timers and the network. */
export interface Browser {
  fetch: (url: string, init: RequestInit) => Promise<Response>;
  /** Milliseconds since 1970. */
  now: () => number;
  /** Milliseconds that never go back. */
  mono: () => number;
  /** Calls back once; the result takes that back. */
  after: (ms: number, work: () => void) => () => void;
  /** A short text that nobody guesses. */
  randomId: () => string;
  /** Lives as long as the tab. */
  storage: Pick<Storage, "getItem" | "setItem" | "removeItem">;
}

/** The real one. */
export const browser: Browser = {
  fetch: (url, init) => fetch(url, init),
  now: () => performance.timeOrigin + performance.now(),
  mono: () => performance.now(),
  after(ms, work) {
    const timer = setTimeout(work, ms);
    return () => clearTimeout(timer);
  },
  randomId: () =>
    [...crypto.getRandomValues(new Uint8Array(6))].map((byte) => byte.toString(36).padStart(2, "0").slice(-1)).join(""),
  storage: sessionStorage,
};
