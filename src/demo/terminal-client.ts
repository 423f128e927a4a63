import type { Timers } from "#src/ports/basics.ts";
import { asString, isJson, type Json } from "./homeserver/wire.ts";
import { renderRows, RoomListView } from "./room-list-view.ts";

/** Where the client reads and writes. */
export interface TerminalClientDeps {
  timers: Timers;
  /** Sends one sync request; rejects when there is no answer. */
  post: (pos: string | null, body: Json, signal: AbortSignal) => Promise<{ status: number; body: unknown }>;
  write: (text: string) => void;
  /** A terminal is redrawn in place; anything else gets a line for each change. */
  isTerminal: boolean;
  columns: () => number;
}

/** Rooms on show. */
const WINDOW_SIZE = 10;
/** Pause after a failed request. */
const RETRY_MS = 1000;

/** What the client asks for, on every request. */
export const TERMINAL_REQUEST = {
  conn_id: "terminal",
  lists: {
    all: {
      ranges: [[0, WINDOW_SIZE - 1]],
      sort: ["by_recency"],
      timeline_limit: 1,
      required_state: [["m.room.name", ""]],
    },
  },
  extensions: { typing: { enabled: true } },
};

/** A small MSC3575 client that keeps a long poll on the top of the room list and shows it as it moves. */
export class TerminalClient {
  readonly #deps: TerminalClientDeps;
  readonly #view = new RoomListView();
  #drawnRows = 0;
  #pos: string | null = null;
  #trouble: string | null = null;

  constructor(deps: TerminalClientDeps) {
    this.#deps = deps;
  }

  /** Runs until `signal` is aborted. */
  async run(signal: AbortSignal): Promise<void> {
    while (!signal.aborted) {
      const answer = await this.#deps
        .post(this.#pos, TERMINAL_REQUEST, signal)
        .catch((error: unknown) => ({ status: 0, body: { error: String(error) } }));
      if (signal.aborted) return;
      if (answer.status === 200 && isJson(answer.body)) this.#take(answer.body);
      else await this.#recover(answer, signal);
    }
  }

  #take(response: Json): void {
    const isFirst = this.#pos === null;
    this.#pos = asString(response["pos"]) ?? null;
    this.#trouble = null;
    const lines = this.#view.apply(response);
    if (this.#deps.isTerminal) this.#redraw();
    else if (isFirst) this.#writeLines(renderRows(this.#view, WINDOW_SIZE, this.#deps.columns()));
    else this.#writeLines(lines);
  }

  async #recover(answer: { status: number; body: unknown }, signal: AbortSignal): Promise<void> {
    const errcode = isJson(answer.body) ? answer.body["errcode"] : undefined;
    if (errcode === "M_UNKNOWN_POS") {
      this.#pos = null;
      this.#view.clear();
      return;
    }
    const trouble = answer.status === 0 ? "no answer" : `HTTP ${answer.status} ${asString(errcode) ?? ""}`.trim();
    if (trouble !== this.#trouble) {
      this.#trouble = trouble;
      if (this.#deps.isTerminal) this.#redraw();
      else this.#writeLines([`(${trouble}, trying again)`]);
    }
    await this.#pause(signal);
  }

  #pause(signal: AbortSignal): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    const cancel = this.#deps.timers.after(RETRY_MS, resolve);
    const onAbort = (): void => {
      cancel();
      resolve();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    return promise.finally(() => signal.removeEventListener("abort", onAbort));
  }

  #writeLines(lines: readonly string[]): void {
    for (const line of lines) this.#deps.write(`${line}\n`);
  }

  #redraw(): void {
    const columns = this.#deps.columns();
    const rows = renderRows(this.#view, WINDOW_SIZE, columns);
    const status = this.#trouble === null ? `${this.#view.count} rooms` : `(${this.#trouble}, trying again)`;
    const lines = [...rows, status.slice(0, columns - 1)];
    const up = this.#drawnRows === 0 ? "" : `\u001B[${this.#drawnRows}A\r`;
    this.#deps.write(`${up}\u001B[J${lines.join("\n")}\n`);
    this.#drawnRows = lines.length;
  }
}
