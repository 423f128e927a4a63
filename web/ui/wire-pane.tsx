import { useState } from "preact/hooks";
import { bytesText, countText, durationText } from "../model/format.ts";
import type { Exchange } from "../model/traffic.ts";
import type { AppState } from "../session/app-state.ts";
import type { Client } from "../session/client.ts";
import { Icon } from "./icon.tsx";
import { OpsPicture, opTexts } from "./ops-picture.tsx";
import { DIALECT_NAMES } from "./session-bar.tsx";
import { secondText } from "./time-text.ts";

/** A body is shown up to here. */
const MOST_SHOWN_CHARS = 30_000;

/** Every request and response, newest first. */
export function WirePane({ state, client }: { state: AppState; client: Client }) {
  const { exchanges, isPaused, passedBy, totals } = state.traffic.value;
  const [openId, setOpenId] = useState<number | null>(null);
  return (
    <section class="pane wire-pane" aria-label="What goes over the wire">
      <header class="wire-head">
        <h2>Wire</h2>
        <span class="tag">{DIALECT_NAMES[client.dialect]}</span>
        <span class="bar-space" />
        <button type="button" class="quiet" aria-pressed={isPaused} onClick={() => state.pauseTraffic(!isPaused)}>
          <Icon name={isPaused ? "play" : "pause"} />
          {isPaused ? `Go on${passedBy > 0 ? ` (${passedBy} passed by)` : ""}` : "Pause"}
        </button>
        <button type="button" class="quiet" aria-label="Clear" title="Clear" onClick={() => state.clearTraffic()}>
          <Icon name="trash" />
        </button>
      </header>
      <dl class="sums">
        <div>
          <dt>requests</dt>
          <dd>{countText(totals.requests)}</dd>
        </div>
        <div>
          <dt>sent</dt>
          <dd>{bytesText(totals.requestBytes)}</dd>
        </div>
        <div>
          <dt>received</dt>
          <dd>{bytesText(totals.responseBytes)}</dd>
        </div>
      </dl>
      <ul class="legend" aria-label="Operations">
        {["SYNC", "INSERT", "DELETE", "INVALIDATE"].map((op) => (
          <li key={op}>
            <span class={`op-key op-${op.toLowerCase()}`} aria-hidden="true" />
            {op}
          </li>
        ))}
      </ul>
      <ol class="exchanges" tabIndex={0} aria-label="Requests, newest first">
        {exchanges.map((exchange) => (
          <ExchangeRow
            key={exchange.id}
            exchange={exchange}
            isOpen={exchange.id === openId}
            onToggle={() => setOpenId(exchange.id === openId ? null : exchange.id)}
          />
        ))}
      </ol>
    </section>
  );
}

function ExchangeRow(props: { exchange: Exchange; isOpen: boolean; onToggle: () => void }) {
  const { exchange, isOpen, onToggle } = props;
  const { sync } = exchange;
  return (
    <li class={`exchange exchange-${exchange.outcome.replace(" ", "-")}`}>
      <button type="button" class="exchange-head" aria-expanded={isOpen} onClick={onToggle}>
        <span class="exchange-line">
          <span class="exchange-path">{shortPath(exchange)}</span>
          <span class="exchange-status">{exchange.status ?? exchange.outcome}</span>
        </span>
        <span class="exchange-line muted small">
          <time>{secondText(exchange.startedAtMs)}</time>
          <span>↑ {bytesText(exchange.requestBytes)}</span>
          <span>↓ {bytesText(exchange.responseBytes)}</span>
          <span>{exchange.durationMs === null ? "…" : durationText(exchange.durationMs)}</span>
        </span>
        {sync !== null && (sync.ops.length > 0 || sync.roomsInitial + sync.roomsUpdated > 0) && (
          <>
            {sync.ops.length > 0 && <OpsPicture count={sync.count} ops={sync.ops} />}
            <span class="ops">
              {opTexts(sync.ops).map(({ op, text }, index) => (
                <span key={index} class={`op op-${op.toLowerCase()}`}>
                  {text}
                </span>
              ))}
              {sync.roomsInitial > 0 && <span class="op op-rooms">{sync.roomsInitial} whole</span>}
              {sync.roomsUpdated > 0 && <span class="op op-rooms">{sync.roomsUpdated} changed</span>}
            </span>
          </>
        )}
      </button>
      {isOpen && (
        <div class="bodies">
          <h3>Request</h3>
          <Body text={exchange.request} absent={exchange.requestBytes === 0 ? "No body." : "Not shown."} />
          <h3>Response</h3>
          <Body text={exchange.response} absent={exchange.outcome === "waiting" ? "Not here yet." : "Not shown."} />
        </div>
      )}
    </li>
  );
}

function Body({ text, absent }: { text: string | null; absent: string }) {
  if (text === null) return <p class="muted small">{absent}</p>;
  const written = pretty(text);
  return (
    <pre tabIndex={0}>
      {written.slice(0, MOST_SHOWN_CHARS)}
      {written.length > MOST_SHOWN_CHARS && `\n… ${countText(written.length - MOST_SHOWN_CHARS)} characters more`}
    </pre>
  );
}

function pretty(text: string): string {
  try {
    const written = JSON.stringify(JSON.parse(text), null, 2);
    // A range is read better on one line.
    return written.replaceAll(/\[\s+(\d+),\s+(\d+)\s+\]/g, "[$1, $2]");
  } catch {
    return text;
  }
}

/** The part of a path that tells requests apart. */
function shortPath({ method, path }: Exchange): string {
  const [bare = "", query = ""] = path.split("?");
  const pos = new URLSearchParams(query).get("pos");
  const short = decodeURIComponent(bare).replace(/^\/_matrix\/client\/(?:unstable\/)?(?:org\.matrix\.\w+|v\d)\//, "");
  return `${method} ${short}${pos === null ? "" : `  pos …${pos.slice(-6)}`}`;
}
