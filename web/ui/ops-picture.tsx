import type { ListOp, Range } from "../model/wire.ts";

/** The picture is so many units wide, whatever the list. */
const WIDTH = 400;
const LEAST = 3;
/** More operations than this are summed up. */
const MOST_TEXTS = 8;

/** Where in the list the operations of one response fall. */
export function OpsPicture({ count, ops }: { count: number; ops: readonly ListOp[] }) {
  const length = Math.max(1, count);
  return (
    <svg class="ops-picture" viewBox={`0 0 ${WIDTH} 10`} preserveAspectRatio="none" aria-hidden="true">
      <rect class="ops-ground" width={WIDTH} height="10" />
      {ops.map((op, index) => {
        const [start, end] = spanOf(op);
        const x = (WIDTH * Math.min(start, length)) / length;
        const width = Math.max(LEAST, (WIDTH * Math.min(end + 1, length)) / length - x);
        return (
          <rect
            key={index}
            class={`op-${op.op.toLowerCase()}`}
            x={Math.min(x, WIDTH - LEAST)}
            width={width}
            height="10"
          />
        );
      })}
    </svg>
  );
}

/** The operations in words; of very many, the first. */
export function opTexts(ops: readonly ListOp[]): { op: ListOp["op"]; text: string }[] {
  const texts = ops.slice(0, MOST_TEXTS).map((op) => {
    const [start, end] = spanOf(op);
    return { op: op.op, text: `${op.op} ${start === end ? start : `${start}–${end}`}` };
  });
  const last = ops[MOST_TEXTS];
  return last === undefined ? texts : [...texts, { op: last.op, text: `${ops.length - MOST_TEXTS} more` }];
}

const spanOf = (op: ListOp): Range => ("range" in op ? op.range : [op.index, op.index]);
