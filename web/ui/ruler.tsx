import type { RoomList } from "../model/room-list.ts";
import type { Range } from "../model/wire.ts";
import type { Viewport } from "../model/windows.ts";

/** The picture is so many units high, whatever the list. */
const HEIGHT = 1000;
/** What is too small to be seen is drawn as high as this. */
const LEAST = 4;

/** The whole list as a strip: what is asked for, what is known, what is on the screen. A click goes there. */
export function Ruler(props: {
  list: RoomList;
  windows: readonly Range[];
  seen: Viewport;
  onGo: (index: number) => void;
}) {
  const { list, windows, seen, onGo } = props;
  const count = Math.max(1, list.count);
  const band = (start: number, end: number): { y: number; height: number } => {
    const y = (HEIGHT * Math.min(start, count)) / count;
    return { y, height: Math.max(LEAST, (HEIGHT * Math.min(end + 1, count)) / count - y) };
  };
  const go = (event: MouseEvent & { currentTarget: SVGSVGElement }): void => {
    const box = event.currentTarget.getBoundingClientRect();
    onGo(Math.floor((count * (event.clientY - box.top)) / box.height));
  };
  return (
    <svg class="ruler" viewBox={`0 0 20 ${HEIGHT}`} preserveAspectRatio="none" aria-hidden="true" onClick={go}>
      <rect class="ruler-ground" width="20" height={HEIGHT} />
      {windows
        .filter(([start]) => start < list.count)
        .map(([start, end]) => (
          <rect key={start} class="ruler-window" x="2" width="16" rx="3" {...band(start, end)} />
        ))}
      {knownRuns(list).map(([start, end]) => (
        <rect key={start} class="ruler-known" x="8" width="4" {...band(start, end)} />
      ))}
      <rect class="ruler-seen" x="1" width="18" rx="3" {...band(seen.first, seen.last)} />
    </svg>
  );
}

/** Where rooms are known, as ranges. */
function knownRuns(list: RoomList): Range[] {
  const runs: [number, number][] = [];
  for (let index = 0; index < list.count; index += 1) {
    if (list.at(index) === undefined) continue;
    const last = runs.at(-1);
    if (last !== undefined && last[1] === index - 1) last[1] = index;
    else runs.push([index, index]);
  }
  return runs;
}
