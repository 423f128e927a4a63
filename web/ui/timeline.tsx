import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { eventText } from "../model/event-text.ts";
import { displayName, type Room } from "../model/room.ts";
import type { MatrixEvent } from "../model/wire.ts";
import type { Client } from "../session/client.ts";
import { Avatar } from "./avatar.tsx";
import { timeText } from "./time-text.ts";
import { browser } from "../browser.ts";

/** Nearer to the end than this, new messages keep the end in view. */
const NEAR_END_PX = 80;

/** What was said in a room, oldest first, and what is on its way. */
export function Timeline(props: { client: Client; room: Room; onFailure: (reason: string | null) => void }) {
  const { client, room, onFailure } = props;
  const scroller = useRef<HTMLDivElement>(null);
  const isAtEnd = useRef(true);
  const heightBefore = useRef(0);
  const hasFailed = useRef(false);
  const [isLoading, setLoading] = useState(false);
  const pending = client.pending.value.filter(({ roomId }) => roomId === room.id);
  const typing = client.typing.value.get(room.id) ?? [];
  const first = room.timeline[0]?.event_id;

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return;
    if (isAtEnd.current) element.scrollTop = element.scrollHeight;
    // Older messages came in above: what was in view stays there.
    else element.scrollTop += element.scrollHeight - heightBefore.current;
    heightBefore.current = element.scrollHeight;
  }, [first, room.timeline.length, pending.length]);

  const loadOlder = async (): Promise<void> => {
    setLoading(true);
    heightBefore.current = scroller.current?.scrollHeight ?? 0;
    const failure = await client.loadOlder(room.id);
    hasFailed.current = failure !== null;
    onFailure(failure);
    setLoading(false);
  };
  // MSC3575 tells what the server has stored, which of a room without news is little: the screen is filled from the homeserver.
  useEffect(() => {
    const element = scroller.current;
    if (element === null || isLoading || hasFailed.current || room.prevBatch === null) return;
    if (element.scrollHeight <= element.clientHeight) void loadOlder();
  });
  return (
    <div
      ref={scroller}
      class="timeline"
      role="log"
      aria-label="Messages"
      tabIndex={0}
      onScroll={({ currentTarget: { scrollTop, scrollHeight, clientHeight } }) => {
        isAtEnd.current = scrollHeight - scrollTop - clientHeight < NEAR_END_PX;
      }}
    >
      {room.prevBatch !== null && (
        <button
          type="button"
          class="chip older"
          disabled={isLoading}
          onClick={() => {
            isAtEnd.current = false;
            void loadOlder();
          }}
        >
          {isLoading ? "Loading…" : "Older messages"}
        </button>
      )}
      <ol>
        {room.timeline.map((event, index) => (
          <Event
            key={event.event_id ?? index}
            room={room}
            event={event}
            isOwn={event.sender === client.account.userId}
            isContinued={isContinued(room.timeline[index - 1], event)}
          />
        ))}
        {pending.map(({ txnId, body, failure }) => (
          <li key={txnId} class="event event-own event-pending">
            <span class="bubble">{body}</span>
            {failure === null ? (
              <span class="muted small">on its way</span>
            ) : (
              <span class="small bad-text">
                not sent: {failure}{" "}
                <button type="button" class="link" onClick={() => client.discard(txnId)}>
                  Discard
                </button>
              </span>
            )}
          </li>
        ))}
      </ol>
      <p class="typing muted small" aria-live="polite">
        {typing.length > 0 && `${typing.map((id) => displayName(room, id)).join(", ")} typing…`}
      </p>
    </div>
  );
}

interface EventProps {
  room: Room;
  event: MatrixEvent;
  isOwn: boolean;
  isContinued: boolean;
}

function Event({ room, event, isOwn, isContinued }: EventProps) {
  const { kind, text } = eventText(room, event);
  const time = timeText(event.origin_server_ts, browser.now());
  if (kind === "note") {
    return (
      <li class="event note">
        {text} <time>{time}</time>
      </li>
    );
  }
  const sender = event.sender ?? "";
  const name = displayName(room, sender);
  return (
    <li class={`event ${isOwn ? "event-own" : ""} ${isContinued ? "event-continued" : ""}`}>
      {!isOwn && !isContinued && <Avatar id={sender} name={name} />}
      <div class="event-text">
        {!isContinued && (
          <span class="event-head">
            <span class={isOwn ? "visually-hidden" : "event-sender"}>{name}</span> <time>{time}</time>
          </span>
        )}
        <span class="bubble">{text}</span>
      </div>
    </li>
  );
}

/** Somebody goes on within a few minutes: the name is not said again. */
function isContinued(before: MatrixEvent | undefined, event: MatrixEvent): boolean {
  return (
    before !== undefined &&
    before.sender === event.sender &&
    before.type === event.type &&
    event.type === "m.room.message" &&
    (event.origin_server_ts ?? 0) - (before.origin_server_ts ?? 0) < 300_000
  );
}
