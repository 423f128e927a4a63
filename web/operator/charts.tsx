import { percentOf } from "../model/format.ts";

/** One part of a whole, in one of the colours `part-0` to `part-6`. */
export interface Part {
  name: string;
  value: number;
  text: string;
  colour: number;
}

const WIDTH = 600;

/** A whole and its parts, as one bar with its key. */
export function PartsBar({ parts, label }: { parts: readonly Part[]; label: string }) {
  const whole = parts.reduce((sum, { value }) => sum + value, 0);
  const shown = parts.filter(({ value }) => value > 0);
  let x = 0;
  return (
    <figure class="parts" aria-label={label}>
      <svg viewBox={`0 0 ${WIDTH} 16`} preserveAspectRatio="none" aria-hidden="true">
        <rect class="bar-ground" width={WIDTH} height="16" />
        {shown.map(({ name, value, colour }) => {
          const width = (WIDTH * value) / whole;
          const from = x;
          x += width;
          return <rect key={name} class={`part-${colour}`} x={from} width={width} height="16" />;
        })}
      </svg>
      <figcaption>
        {(shown.length > 0 ? shown : parts).map(({ name, text, colour }) => (
          <span key={name} class="key">
            <span class={`key-dot part-${colour}`} aria-hidden="true" />
            {name} <b class="number">{text}</b>
          </span>
        ))}
      </figcaption>
    </figure>
  );
}

/** How much of something there is, beside others of its kind. */
export function Meter({ value, most, isBad = false }: { value: number; most: number; isBad?: boolean }) {
  return (
    <svg class={`meter ${isBad ? "meter-bad" : ""}`} viewBox="0 0 100 8" preserveAspectRatio="none" aria-hidden="true">
      <rect class="bar-ground" width="100" height="8" rx="2" />
      <rect class="meter-value" width={percentOf(value, most)} height="8" rx="2" />
    </svg>
  );
}

/** How far something is; read out as a progress bar. */
export function Progress({ done, total, label }: { done: number; total: number; label: string }) {
  return (
    <div
      class="progress"
      role="progressbar"
      aria-label={label}
      aria-valuemin={0}
      aria-valuemax={Math.max(1, total)}
      aria-valuenow={done}
    >
      <Meter value={done} most={total} />
    </div>
  );
}

/** The course of a number over the last minutes. */
export function Sparkline({ values, label }: { values: readonly number[]; label: string }) {
  const most = Math.max(1e-9, ...values);
  const step = values.length < 2 ? 0 : 100 / (values.length - 1);
  const points = values.map((value, index) => `${(index * step).toFixed(2)},${(27 - (25 * value) / most).toFixed(2)}`);
  return (
    <svg class="spark" viewBox="0 0 100 28" preserveAspectRatio="none" role="img" aria-label={label}>
      {points.length > 1 && (
        <>
          <polygon class="spark-ground" points={`0,28 ${points.join(" ")} 100,28`} />
          <polyline class="spark-line" points={points.join(" ")} />
        </>
      )}
    </svg>
  );
}

/** Columns of a histogram, with a word under each. */
export function Histogram({ bars, label }: { bars: readonly { name: string; value: number }[]; label: string }) {
  const most = Math.max(1, ...bars.map(({ value }) => value));
  const width = 100 / Math.max(1, bars.length);
  return (
    <figure class="histogram" aria-label={label}>
      <svg viewBox="0 0 100 40" preserveAspectRatio="none" aria-hidden="true">
        {bars.map(({ name, value }, index) => {
          const height = value === 0 ? 0 : Math.max(1, (40 * value) / most);
          return (
            <rect
              key={name}
              class="histogram-bar"
              x={index * width + width * 0.1}
              y={40 - height}
              width={width * 0.8}
              height={height}
            />
          );
        })}
      </svg>
      <figcaption>
        {bars.map(({ name }) => (
          <span key={name}>{name}</span>
        ))}
      </figcaption>
    </figure>
  );
}
