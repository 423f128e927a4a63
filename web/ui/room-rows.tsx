import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks";
import { previewText } from "../model/event-text.ts";
import type { Room } from "../model/room.ts";
import type { Viewport } from "../model/windows.ts";
import type { Client } from "../session/client.ts";
import { Avatar } from "./avatar.tsx";
import { Icon } from "./icon.tsx";
import { timeText } from "./time-text.ts";

/** All rows are as high, so that a place in the list is a place on the page. */
const ROW_PX = 64;
/** Drawn beyond the edges. */
const SPARE_ROWS = 4;
const JUMPS: Readonly<Record<string, number>> = { ArrowDown: 1, ArrowUp: -1, PageDown: 8, PageUp: -8 };

/** What the rows need. */
export interface RoomRowsProps {
  client: Client;
  now: () => number;
  /** Where to scroll to, whenever it is another. */
  target: { index: number } | null;
  onOpen: (roomId: string) => void;
  onSee: (viewport: Viewport) => void;
}

/** The rooms that are on the screen, of a list that may be very long. */
export function RoomRows({ client, now, target, onOpen, onSee }: RoomRowsProps) {
  const scroller = useRef<HTMLDivElement>(null);
  const [top, setTop] = useState(0);
  const [height, setHeight] = useState(600);
  const [active, setActive] = useState(0);
  const { list } = client;
  const openRoom = client.query.value.openRoom;
  // Drawn anew with each response.
  const isStarting = client.revision.value === 0;

  const { count } = list;
  const first = Math.min(Math.max(0, count - 1), Math.floor(top / ROW_PX));
  const last = Math.min(Math.max(0, count - 1), Math.floor((top + height - 1) / ROW_PX));

  useLayoutEffect(() => {
    const element = scroller.current;
    if (element === null) return undefined;
    const observer = new ResizeObserver(() => setHeight(element.clientHeight));
    observer.observe(element);
    return () => observer.disconnect();
  }, []);
  useEffect(() => onSee({ first, last: Math.max(last, first) }), [first, last]);
  useEffect(() => {
    if (target === null || scroller.current === null) return;
    scroller.current.scrollTop = target.index * ROW_PX;
    setActive(target.index);
  }, [target]);

  const goTo = (index: number): void => {
    const to = Math.min(Math.max(0, index), Math.max(0, count - 1));
    setActive(to);
    const element = scroller.current;
    if (element === null) return;
    if (to * ROW_PX < element.scrollTop) element.scrollTop = to * ROW_PX;
    const bottom = (to + 1) * ROW_PX - element.clientHeight;
    if (bottom > element.scrollTop) element.scrollTop = bottom;
  };
  const onKeyDown = (event: KeyboardEvent): void => {
    const jump = JUMPS[event.key];
    if (jump !== undefined) goTo(active + jump);
    else if (event.key === "Home") goTo(0);
    else if (event.key === "End") goTo(count - 1);
    else if (event.key === "Enter" || event.key === " ") {
      const roomId = list.at(active);
      if (roomId !== undefined) onOpen(roomId);
    } else return;
    event.preventDefault();
  };

  const from = Math.max(0, first - SPARE_ROWS);
  const to = Math.min(count - 1, last + SPARE_ROWS);
  const rows = Array.from({ length: Math.max(0, to - from + 1) }, (_, offset) => from + offset);
  return (
    <div
      ref={scroller}
      class="rows"
      role="listbox"
      aria-label="Rooms"
      aria-busy={isStarting}
      tabIndex={0}
      aria-activedescendant={count > 0 && active >= from && active <= to ? `room-${active}` : undefined}
      onScroll={(event) => setTop(event.currentTarget.scrollTop)}
      onKeyDown={onKeyDown}
    >
      <div class="rows-inner" role="presentation" style={{ height: `${count * ROW_PX}px` }}>
        {isStarting && <Waiting />}
        {rows.map((index) => {
          const roomId = list.at(index);
          const room = roomId === undefined ? undefined : client.room(roomId);
          return (
            <div
              key={index}
              id={`room-${index}`}
              class={`row ${index === active ? "row-active" : ""}`}
              role="option"
              aria-selected={roomId !== undefined && roomId === openRoom}
              aria-posinset={index + 1}
              aria-setsize={count}
              style={{ transform: `translateY(${index * ROW_PX}px)` }}
              onClick={() => {
                setActive(index);
                if (roomId !== undefined) onOpen(roomId);
              }}
            >
              {room === undefined ? <UnknownRow index={index} /> : <KnownRow room={room} nowMs={now()} />}
            </div>
          );
        })}
      </div>
      {!isStarting && count === 0 && <p class="empty">No room is like this.</p>}
    </div>
  );
}

function KnownRow({ room, nowMs }: { room: Room; nowMs: number }) {
  const last = room.timeline.at(-1);
  const unread = room.notificationCount;
  return (
    <>
      <Avatar id={room.id} name={room.name} isSquare={room.isSpace} />
      <span class="row-text">
        <span class="row-line">
          <span class={`row-name ${unread > 0 ? "row-unread" : ""}`}>{room.name}</span>
          {room.isEncrypted && (
            <span class="row-mark" title="Encrypted">
              <Icon name="lock" />
            </span>
          )}
          <span class="row-time">{timeText(last?.origin_server_ts, nowMs)}</span>
        </span>
        <span class="row-line">
          <span class="row-preview">{previewText(room)}</span>
          {room.isInvite && <span class="badge badge-invite">invitation</span>}
          {unread > 0 && (
            <span class={`badge ${room.highlightCount > 0 ? "badge-high" : ""}`}>
              {unread}
              <span class="visually-hidden"> unread</span>
            </span>
          )}
        </span>
      </span>
    </>
  );
}

/** The server was not asked for it yet, or has not answered. */
function UnknownRow({ index }: { index: number }) {
  return (
    <>
      <span class="avatar avatar-unknown" aria-hidden="true" />
      <span class="row-text">
        <span class="visually-hidden">Room {index + 1}, not loaded yet</span>
        <span class="bone bone-long" aria-hidden="true" />
        <span class="bone" aria-hidden="true" />
      </span>
    </>
  );
}

function Waiting() {
  return (
    <>
      {[0, 1, 2, 3, 4].map((index) => (
        <div key={index} class="row" role="presentation" style={{ transform: `translateY(${index * ROW_PX}px)` }}>
          <span class="avatar avatar-unknown" />
          <span class="row-text">
            <span class="bone bone-long" />
            <span class="bone" />
          </span>
        </div>
      ))}
    </>
  );
}
